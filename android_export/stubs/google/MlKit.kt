// What the app calls of ML Kit's face detector, so that it compiles without Google's Maven repository. Nothing runs.
@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mlkit.vision.face

import android.graphics.PointF
import android.graphics.Rect
import com.google.android.gms.tasks.Task
import com.google.mlkit.vision.common.InputImage
import java.io.Closeable

private fun stub(): Nothing = throw UnsupportedOperationException("ML Kit's artifact is missing in this build")

class FaceDetectorOptions private constructor() {
    class Builder {
        fun setPerformanceMode(mode: Int): Builder = stub()

        fun setLandmarkMode(mode: Int): Builder = stub()

        fun enableTracking(): Builder = stub()

        fun build(): FaceDetectorOptions = stub()
    }

    companion object {
        const val PERFORMANCE_MODE_FAST = 1
        const val PERFORMANCE_MODE_ACCURATE = 2
        const val LANDMARK_MODE_ALL = 2
    }
}

class FaceLandmark private constructor() {
    val position: PointF get() = stub()

    companion object {
        const val LEFT_EYE = 4
        const val RIGHT_EYE = 10
    }
}

class Face private constructor() {
    val boundingBox: Rect get() = stub()
    val trackingId: Int? get() = stub()

    fun getLandmark(type: Int): FaceLandmark? = stub()
}

interface FaceDetector : Closeable {
    fun process(image: InputImage): Task<List<Face>>
}

object FaceDetection {
    @JvmStatic
    fun getClient(options: FaceDetectorOptions): FaceDetector = stub()
}
