plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.kerafer.app"
    compileSdk = 37
    defaultConfig {
        applicationId = "org.kerafer.app"
        minSdk = 24
        targetSdk = 37
        versionCode = 1
        versionName = "0.1.0"
    }
    androidResources {
        // LiteRT and the checksums want the files as they are
        noCompress += listOf("tflite", "bin")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    implementation(project(":kerafer-android"))
    implementation(libs.androidx.activity)
    implementation(libs.camera.camera2)
    implementation(libs.camera.core)
    implementation(libs.camera.lifecycle)
    implementation(libs.camera.view)
    implementation(libs.exifinterface)
}
