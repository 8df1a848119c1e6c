package org.kerafer.app

import android.graphics.Bitmap
import android.os.SystemClock
import org.kerafer.Choice
import org.kerafer.Classifier
import org.kerafer.EngineFactory
import org.kerafer.Face
import org.kerafer.FaceFinder
import org.kerafer.FaceStream
import org.kerafer.Probabilities
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
 * @property choice what the model ran on.
 * @property refused why it ran on nothing better.
 */
class Reading(
    val width: Int,
    val height: Int,
    val faces: List<ReadFace>,
    val milliseconds: Double,
    val choice: Choice,
    val refused: List<String>,
)

/**
 * Reads faces of pictures with one model; all its calls must come from one thread.
 *
 * @property finder stays open when the reader is closed, since models are changed more often.
 */
class Reader(
    private val model: ModelEntry,
    factory: EngineFactory,
    private val finder: FaceFinder,
) : AutoCloseable {
    private val stream = FaceStream()

    /** The model, and what it runs on. */
    val classifier: Classifier = model.open(factory)

    /**
     * Find the faces of an upright picture, and classify each.
     *
     * @param inStream whether it is the next of a stream's pictures, over which probabilities are smoothed.
     */
    fun read(
        picture: Bitmap,
        inStream: Boolean,
    ): Reading {
        val taken = SystemClock.elapsedRealtimeNanos()
        val pixels = picture.toRgbImage()
        val found = finder.find(pixels)
        val start = SystemClock.elapsedRealtimeNanos()
        val seen = found.map { classifier.classify(pixels, it) }
        val passed = (SystemClock.elapsedRealtimeNanos() - start) / 1e6
        val shown = if (inStream) stream.update(found, seen, taken) else seen
        return Reading(
            picture.width,
            picture.height,
            found.zip(shown, ::ReadFace),
            passed / found.size.coerceAtLeast(1),
            classifier.choice,
            classifier.refused,
        )
    }

    /** The greatest difference between this device's probabilities and Python's. */
    fun difference(): Float = model.bundle.golden().difference(classifier)

    override fun close() = classifier.close()
}
