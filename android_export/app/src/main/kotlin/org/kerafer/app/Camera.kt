package org.kerafer.app

import android.content.Context
import android.graphics.Bitmap
import android.hardware.display.DisplayManager
import android.util.Size
import androidx.activity.ComponentActivity
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.core.resolutionselector.AspectRatioStrategy
import androidx.camera.core.resolutionselector.ResolutionSelector
import androidx.camera.core.resolutionselector.ResolutionStrategy
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import org.kerafer.android.turned
import java.util.concurrent.Executor

/**
 * The camera's preview, and its upright pictures one after another; pictures that come while one is looked at are left
 * out. Its methods are called on the main thread.
 *
 * @property worker where [onPicture] is called.
 * @property onProblem is told on the main thread why there are no pictures.
 */
class Camera(
    private val activity: ComponentActivity,
    private val view: PreviewView,
    private val worker: Executor,
    private val onPicture: (Bitmap) -> Unit,
    private val onProblem: (String) -> Unit,
) {
    private val displays by lazy { activity.getSystemService(Context.DISPLAY_SERVICE) as DisplayManager }
    private var analysis: ImageAnalysis? = null
    private var isStarted = false

    /** Whether the camera looks at its user, as in a mirror. */
    var front = true
        private set

    /** The activity outlives turns of the device, and a turn by 180 degrees tells it nothing: displays do. */
    private val turns =
        object : DisplayManager.DisplayListener {
            override fun onDisplayChanged(displayId: Int) {
                view.display?.let { analysis?.targetRotation = it.rotation }
            }

            override fun onDisplayAdded(displayId: Int) = Unit

            override fun onDisplayRemoved(displayId: Int) = Unit
        }

    /** Start, or start again, with one of the cameras that the device has. */
    fun start(front: Boolean = this.front) {
        if (!isStarted) displays.registerDisplayListener(turns, null)
        isStarted = true
        withProvider { bind(it, front) }
    }

    /** Stop, and leave the camera to others. */
    fun stop() {
        if (!isStarted) return
        isStarted = false
        displays.unregisterDisplayListener(turns)
        withProvider { it.unbindAll() }
    }

    private fun withProvider(work: (ProcessCameraProvider) -> Unit) =
        attempt {
            val provider = ProcessCameraProvider.getInstance(activity)
            provider.addListener({ attempt { work(provider.get()) } }, activity::runOnUiThread)
        }

    /** Devices without a camera, or with one that something else uses, make CameraX throw whatever it met. */
    private fun attempt(work: () -> Unit) =
        try {
            work()
        } catch (error: Exception) {
            val cause = error.cause ?: error
            onProblem(activity.getString(R.string.camera_problem, cause.message ?: cause.toString()))
        }

    private fun bind(
        provider: ProcessCameraProvider,
        wanted: Boolean,
    ) {
        val found = listOf(wanted, !wanted).firstOrNull { provider.hasCamera(selector(it)) }
        if (found == null) {
            onProblem(activity.getString(R.string.no_camera))
            return
        }
        front = found
        // the overlay puts boxes of one onto the other, so both must show the same field of view
        val ratio = ResolutionSelector.Builder().setAspectRatioStrategy(RATIO)
        val preview = Preview.Builder().setResolutionSelector(ratio.build()).build()
        preview.setSurfaceProvider(view.surfaceProvider)
        val pictures =
            ImageAnalysis
                .Builder()
                .setResolutionSelector(ratio.setResolutionStrategy(SIZE).build())
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
        pictures.setAnalyzer(worker) { image: ImageProxy ->
            image.use { onPicture(it.toBitmap().turned(it.imageInfo.rotationDegrees)) }
        }
        analysis = pictures
        provider.unbindAll()
        provider.bindToLifecycle(activity, selector(found), preview, pictures)
    }

    private fun selector(front: Boolean) =
        if (front) CameraSelector.DEFAULT_FRONT_CAMERA else CameraSelector.DEFAULT_BACK_CAMERA

    private companion object {
        val RATIO: AspectRatioStrategy = AspectRatioStrategy.RATIO_4_3_FALLBACK_AUTO_STRATEGY
        val SIZE = ResolutionStrategy(Size(640, 480), ResolutionStrategy.FALLBACK_RULE_CLOSEST_HIGHER_THEN_LOWER)
    }
}
