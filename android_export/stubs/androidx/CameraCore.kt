// What the app calls of CameraX, so that it compiles without Google's Maven repository. Nothing here runs.
@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.camera.core

import android.graphics.Bitmap
import androidx.camera.core.resolutionselector.ResolutionSelector
import java.util.concurrent.Executor

internal fun stub(): Nothing = throw UnsupportedOperationException("CameraX is missing in this build")

abstract class UseCase

interface Camera

class CameraSelector private constructor() {
    companion object {
        @JvmField
        val DEFAULT_FRONT_CAMERA: CameraSelector = CameraSelector()

        @JvmField
        val DEFAULT_BACK_CAMERA: CameraSelector = CameraSelector()
    }
}

class Preview private constructor() : UseCase() {
    interface SurfaceProvider

    fun setSurfaceProvider(surfaceProvider: SurfaceProvider?): Unit = stub()

    class Builder {
        fun setResolutionSelector(resolutionSelector: ResolutionSelector): Builder = stub()

        fun build(): Preview = stub()
    }
}

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    val imageInfo: ImageInfo

    fun toBitmap(): Bitmap

    override fun close()
}

class ImageAnalysis private constructor() : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    var targetRotation: Int
        get() = stub()
        set(rotation) = stub()

    fun setAnalyzer(
        executor: Executor,
        analyzer: Analyzer,
    ): Unit = stub()

    class Builder {
        fun setResolutionSelector(resolutionSelector: ResolutionSelector): Builder = stub()

        fun setBackpressureStrategy(strategy: Int): Builder = stub()

        fun setOutputImageFormat(format: Int): Builder = stub()

        fun build(): ImageAnalysis = stub()
    }

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST = 0
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
    }
}
