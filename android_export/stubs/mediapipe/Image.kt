// What docs/android.md calls of MediaPipe's image classifier, in three files. Nothing here runs.
@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mediapipe.framework.image

import android.graphics.Bitmap

class MPImage

class BitmapImageBuilder(
    bitmap: Bitmap,
) {
    fun build(): MPImage = throw UnsupportedOperationException("MediaPipe's artifact is missing in this build")
}
