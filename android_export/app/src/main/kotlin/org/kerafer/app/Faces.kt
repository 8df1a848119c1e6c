package org.kerafer.app

import android.graphics.Bitmap
import com.google.android.gms.tasks.Tasks
import com.google.mlkit.vision.common.InputImage
import com.google.mlkit.vision.face.Face
import com.google.mlkit.vision.face.FaceDetection
import com.google.mlkit.vision.face.FaceDetector
import com.google.mlkit.vision.face.FaceDetectorOptions
import com.google.mlkit.vision.face.FaceLandmark
import org.kerafer.FaceBox
import org.kerafer.Place

/**
 * A face that was found.
 *
 * @property track the same number for the same face in the pictures of one stream, or null.
 * @property leftEye the eye on the left as the viewer sees it, or null where it was not found.
 */
class FoundFace(
    val box: FaceBox,
    val track: Int?,
    val leftEye: Place?,
    val rightEye: Place?,
)

/** Finds faces in upright pictures, offline, by ML Kit; not to be called from the main thread. */
class FaceFinder(
    stream: Boolean,
) : AutoCloseable {
    private val detector: FaceDetector

    init {
        val fast = FaceDetectorOptions.PERFORMANCE_MODE_FAST
        val options =
            FaceDetectorOptions
                .Builder()
                .setPerformanceMode(if (stream) fast else FaceDetectorOptions.PERFORMANCE_MODE_ACCURATE)
                .setLandmarkMode(FaceDetectorOptions.LANDMARK_MODE_ALL)
        if (stream) options.enableTracking()
        detector = FaceDetection.getClient(options.build())
    }

    /** Return the picture's faces, the largest first. */
    fun find(picture: Bitmap): List<FoundFace> =
        Tasks
            .await(detector.process(InputImage.fromBitmap(picture, 0)))
            .map(::found)
            .sortedByDescending { it.box.side }

    private fun found(face: Face): FoundFace {
        // ML Kit says left and right as the person would; which is which in the picture, their places tell
        val eyes =
            listOf(FaceLandmark.LEFT_EYE, FaceLandmark.RIGHT_EYE)
                .mapNotNull { face.getLandmark(it)?.position }
                .map { Place(it.x.toDouble(), it.y.toDouble()) }
                .sortedBy { it.x }
        val bounds = face.boundingBox
        return FoundFace(
            FaceBox(
                bounds.left.toDouble(),
                bounds.top.toDouble(),
                bounds.width().toDouble(),
                bounds.height().toDouble(),
            ),
            face.trackingId,
            eyes.firstOrNull().takeIf { eyes.size == 2 },
            eyes.lastOrNull().takeIf { eyes.size == 2 },
        )
    }

    override fun close() = detector.close()
}
