package org.kerafer.app

import android.graphics.Bitmap
import android.os.SystemClock
import org.kerafer.Classifier
import org.kerafer.EngineFactory
import org.kerafer.Probabilities
import org.kerafer.Smoothing
import org.kerafer.android.AssetBundle
import org.kerafer.android.toRgbImage

/** A face with what the model says of it. */
class ReadFace(
    val face: FoundFace,
    val probabilities: Probabilities,
)

/**
 * What was read from one picture.
 *
 * @property width of the upright picture in pixels, with which the faces' places go.
 * @property milliseconds that one face took in mean, from pixels to probabilities.
 */
class Reading(
    val width: Int,
    val height: Int,
    val faces: List<ReadFace>,
    val milliseconds: Double,
    val classifier: Classifier,
)

/** Reads faces of pictures with one model; all its calls must come from one thread. */
class Reader(
    bundle: AssetBundle,
    factory: EngineFactory,
    private val stream: Boolean,
) : AutoCloseable {
    private val finder = FaceFinder(stream)
    private val smoothings = mutableMapOf<Int, Smoothing>()

    /** The model, and what it runs on. */
    val classifier: Classifier = bundle.open(factory)

    /** Find the faces of an upright picture, and classify each. */
    fun read(picture: Bitmap): Reading {
        val wantsEyes = classifier.card.preprocessing.aligned
        val found = finder.find(picture).filter { !wantsEyes || it.leftEye != null }
        val pixels = picture.toRgbImage()
        val start = SystemClock.elapsedRealtimeNanos()
        val faces =
            found.map { ReadFace(it, smooth(it, classifier.classify(pixels, it.box, it.leftEye, it.rightEye))) }
        val passed = (SystemClock.elapsedRealtimeNanos() - start) / 1e6
        smoothings.keys.retainAll(found.mapNotNull { it.track }.toSet())
        return Reading(picture.width, picture.height, faces, passed / faces.size.coerceAtLeast(1), classifier)
    }

    private fun smooth(
        face: FoundFace,
        seen: Probabilities,
    ): Probabilities {
        val track = face.track ?: return seen
        return smoothings.getOrPut(track) {
            Smoothing(SMOOTHING_SECONDS)
        }.update(seen, SystemClock.elapsedRealtimeNanos())
    }

    override fun close() {
        finder.close()
        classifier.close()
    }

    private companion object {
        const val SMOOTHING_SECONDS = 0.3
    }
}
