package org.kerafer.app

import android.graphics.Bitmap
import android.os.SystemClock
import org.kerafer.Classifier
import org.kerafer.EngineFactory
import org.kerafer.Face
import org.kerafer.FaceFinder
import org.kerafer.Probabilities
import org.kerafer.Smoothing
import org.kerafer.Tracks
import org.kerafer.android.AssetBundle
import org.kerafer.android.toRgbImage

/** A face with what the model says of it. */
class ReadFace(
    val face: Face,
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

/**
 * Reads faces of pictures with one model; all its calls must come from one thread.
 *
 * @property finder stays open when the reader is closed, since models are changed more often.
 */
class Reader(
    bundle: AssetBundle,
    factory: EngineFactory,
    private val finder: FaceFinder,
    private val stream: Boolean,
) : AutoCloseable {
    private val tracks = Tracks()
    private val smoothings = mutableMapOf<Int, Smoothing>()

    /** The model, and what it runs on. */
    val classifier: Classifier = bundle.open(factory)

    /** Find the faces of an upright picture, and classify each. */
    fun read(picture: Bitmap): Reading {
        val pixels = picture.toRgbImage()
        val found = finder.find(pixels)
        val numbers = tracks.follow(found)
        val start = SystemClock.elapsedRealtimeNanos()
        val seen = found.map { classifier.classify(pixels, it) }
        val passed = (SystemClock.elapsedRealtimeNanos() - start) / 1e6
        smoothings.keys.retainAll(numbers.toSet())
        val faces = found.indices.map { ReadFace(found[it], smooth(numbers[it], seen[it])) }
        return Reading(picture.width, picture.height, faces, passed / faces.size.coerceAtLeast(1), classifier)
    }

    private fun smooth(
        track: Int,
        seen: Probabilities,
    ): Probabilities {
        if (!stream) return seen
        val smoothing = smoothings.getOrPut(track) { Smoothing(SMOOTHING_SECONDS) }
        return smoothing.update(seen, SystemClock.elapsedRealtimeNanos())
    }

    override fun close() = classifier.close()

    private companion object {
        const val SMOOTHING_SECONDS = 0.3
    }
}
