@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mlkit.vision.common

import android.graphics.Bitmap

class InputImage private constructor() {
    companion object {
        @JvmStatic
        fun fromBitmap(
            bitmap: Bitmap,
            rotationDegrees: Int,
        ): InputImage = throw UnsupportedOperationException("ML Kit's artifact is missing in this build")
    }
}
