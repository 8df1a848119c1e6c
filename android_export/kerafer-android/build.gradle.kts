plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "org.kerafer"
    compileSdk = 37
    defaultConfig { minSdk = 24 }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    testOptions {
        unitTests.all {
            // written by make_fixtures.py; see README.md
            it.systemProperty("kerafer.fixtures", providers.gradleProperty("kerafer.fixtures").orNull ?: "fixtures")
        }
    }
}

dependencies {
    implementation(libs.litert)
    // the GPU accelerator; without it a model that is compiled for the GPU is refused
    implementation(libs.litert.gpu)
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test.junit)
    testImplementation(libs.jna)
    testImplementation(libs.orgjson)
}
