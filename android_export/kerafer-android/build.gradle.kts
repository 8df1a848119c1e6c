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
            // what the tests compare with, LiteRT's C library, and a software GPU: see README.md
            fun folder(name: String) = providers.gradleProperty("kerafer.$name").getOrElse("")
            it.systemProperty("kerafer.fixtures", folder("fixtures"))
            it.systemProperty("jna.library.path", folder("litert"))
            it.environment("LD_LIBRARY_PATH", listOf("litert", "vulkan").joinToString(":", transform = ::folder))
            if (folder("vulkan") != "") {
                it.environment("VK_ICD_FILENAMES", folder("vulkan") + "/vk_swiftshader_icd.json")
            }
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
