package org.kerafer

import kotlin.math.abs

/**
 * Gives the same face of a stream's pictures the same number, counted from 1: that of the face in whose last box its
 * middle lies, or the other way round; as Python's `FaceTracker` does where it detects in every picture.
 *
 * @property patienceSeconds for how long a face may be hidden, or missed by the detector, and still keep its number.
 */
class Tracks(
    val patienceSeconds: Double = 1.0,
) {
    private var seen = mapOf<Int, FaceBox>()
    private var hidden = mapOf<Int, Hidden>()
    private var next = 1

    private class Hidden(
        val box: FaceBox,
        val since: Long,
    )

    init {
        require(patienceSeconds >= 0) { "`patienceSeconds` must be 0 or more. Received: $patienceSeconds" }
    }

    /** Numbers of the faces that were seen, or are hidden for now. */
    val known: Set<Int> get() = seen.keys + hidden.keys

    /**
     * Return a number for each face of the stream's next picture.
     *
     * @param nanoseconds when the picture was taken, on a clock that does not go back.
     */
    fun follow(
        faces: List<Face>,
        nanoseconds: Long,
    ): List<Int> {
        val patient = hidden.filterValues { (nanoseconds - it.since) / 1e9 <= patienceSeconds }
        val free = (seen + patient.mapValues { it.value.box }).toMutableMap()
        val numbers =
            faces.map { face ->
                val same = free.filterValues { it.isSame(face.box) }.minByOrNull { it.value.distance(face.box) }?.key
                same?.also { free.remove(it) } ?: next++
            }
        val missed = seen.mapValues { Hidden(it.value, nanoseconds) }
        hidden = (patient + missed).filterKeys { it in free }
        seen = numbers.zip(faces.map { it.box }).toMap()
        return numbers
    }

    private fun FaceBox.isSame(other: FaceBox) = holds(other) || other.holds(this)

    private fun FaceBox.holds(other: FaceBox) =
        abs(middle.x - other.middle.x) < width / 2 && abs(middle.y - other.middle.y) < height / 2

    private fun FaceBox.distance(other: FaceBox) = abs(middle.x - other.middle.x) + abs(middle.y - other.middle.y)

    private val FaceBox.middle get() = Place(x + width / 2, y + height / 2)
}

/**
 * Smooths the probabilities of a stream's faces over time, each face's by itself; as Python's `VideoRecognizer`.
 *
 * @property smoothingSeconds time constant; see [Smoothing].
 */
class FaceStream(
    val smoothingSeconds: Double = 0.3,
    private val tracks: Tracks = Tracks(),
) {
    private val smoothings = mutableMapOf<Int, Smoothing>()

    /**
     * Return the smoothed probabilities of the faces of the stream's next picture.
     *
     * @param seen what the model gives for each face of this picture alone.
     * @param nanoseconds when the picture was taken, on a clock that does not go back.
     */
    fun update(
        faces: List<Face>,
        seen: List<Probabilities>,
        nanoseconds: Long,
    ): List<Probabilities> {
        val numbers = tracks.follow(faces, nanoseconds)
        smoothings.keys.retainAll(tracks.known)
        return numbers.zip(seen) { number, probabilities ->
            smoothings.getOrPut(number) { Smoothing(smoothingSeconds) }.update(probabilities, nanoseconds)
        }
    }
}
