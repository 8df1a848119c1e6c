package org.kerafer.app

import android.graphics.Bitmap
import androidx.activity.ComponentActivity
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import org.kerafer.android.turned
import java.util.concurrent.Executor

/**
 * The camera's preview, and its upright pictures one after another; pictures that come while one is looked at are left
 * out.
 *
 * @property worker where [onPicture] is called.
 */
class Camera(
    private val activity: ComponentActivity,
    private val view: PreviewView,
    private val worker: Executor,
    private val onPicture: (Bitmap) -> Unit,
) {
    /** Whether the camera looks at its user, as in a mirror. */
    var front = true
        private set

    /** Start, or start again, with one of the cameras that the device has. */
    fun start(front: Boolean = this.front) {
        val providers = ProcessCameraProvider.getInstance(activity)
        providers.addListener({ bind(providers.get(), front) }, { activity.runOnUiThread(it) })
    }

    /** Stop, and leave the camera to others. */
    fun stop() {
        val providers = ProcessCameraProvider.getInstance(activity)
        providers.addListener({ providers.get().unbindAll() }, { activity.runOnUiThread(it) })
    }

    private fun bind(
        provider: ProcessCameraProvider,
        front: Boolean,
    ) {
        val wanted = if (front) CameraSelector.DEFAULT_FRONT_CAMERA else CameraSelector.DEFAULT_BACK_CAMERA
        this.front = if (provider.hasCamera(wanted)) front else !front
        val selector = if (this.front) CameraSelector.DEFAULT_FRONT_CAMERA else CameraSelector.DEFAULT_BACK_CAMERA
        val preview = Preview.Builder().build()
        preview.setSurfaceProvider(view.surfaceProvider)
        val analysis =
            ImageAnalysis
                .Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
        analysis.setAnalyzer(worker) { image: ImageProxy ->
            image.use { onPicture(it.toBitmap().turned(it.imageInfo.rotationDegrees)) }
        }
        provider.unbindAll()
        provider.bindToLifecycle(activity, selector, preview, analysis)
    }
}
