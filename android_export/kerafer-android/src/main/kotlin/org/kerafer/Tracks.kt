package org.kerafer

import kotlin.math.abs

/** Gives the same face of a stream's pictures the same number: the one whose last box its middle lies in. */
class Tracks {
    private var last = mapOf<Int, FaceBox>()
    private var next = 0

    /** Return a number for each face of the stream's next picture. */
    fun follow(faces: List<Face>): List<Int> {
        val free = last.toMutableMap()
        val numbers =
            faces.map { face ->
                val known = free.filterValues { it.holds(face.box) }.minByOrNull { it.value.distance(face.box) }?.key
                known?.also { free.remove(it) } ?: next++
            }
        last = numbers.zip(faces.map { it.box }).toMap()
        return numbers
    }

    private fun FaceBox.holds(other: FaceBox) =
        abs(middle.x - other.middle.x) < width / 2 && abs(middle.y - other.middle.y) < height / 2

    private fun FaceBox.distance(other: FaceBox) = abs(middle.x - other.middle.x) + abs(middle.y - other.middle.y)

    private val FaceBox.middle get() = Place(x + width / 2, y + height / 2)
}
