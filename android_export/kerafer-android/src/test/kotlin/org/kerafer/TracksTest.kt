package org.kerafer

import kotlin.math.exp
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class TracksTest {
    @Test
    fun `a face keeps its number while it moves, and a new one gets a new number`() {
        val tracks = Tracks()
        assertEquals(listOf(1, 2), tracks.follow(listOf(face(0.0, 0.0), face(300.0, 0.0)), 0))
        assertEquals(listOf(2, 1), tracks.follow(listOf(face(280.0, 10.0), face(30.0, 5.0)), 1))
        assertEquals(listOf(1, 3), tracks.follow(listOf(face(50.0, 5.0), face(600.0, 300.0)), 2))
    }

    @Test
    fun `a face that is missed for a while keeps its number, and one that is away for longer gets a new one`() {
        val tracks = Tracks(patienceSeconds = 1.0)
        tracks.follow(listOf(face(0.0, 0.0)), 0)
        assertEquals(emptyList(), tracks.follow(emptyList(), seconds(0.1)))
        assertEquals(setOf(1), tracks.known)
        assertEquals(listOf(1), tracks.follow(listOf(face(10.0, 0.0)), seconds(1.1)))
        tracks.follow(emptyList(), seconds(1.2))
        assertEquals(listOf(2), tracks.follow(listOf(face(10.0, 0.0)), seconds(2.3)))
        assertEquals(setOf(2), tracks.known)
        assertFailsWith<IllegalArgumentException> { Tracks(patienceSeconds = -1.0) }
    }

    @Test
    fun `numbers are those that Python gives`() {
        assertTrue(Fixtures.tracked.size >= 10)
        val tracks = Tracks()
        for ((at, numbers) in Fixtures.tracked) {
            val faces = numbers.keys.toList()
            val found = tracks.follow(faces.map { Face(it, 1.0, emptyMap()) }, seconds(at))
            assertEquals(numbers, faces.zip(found).toMap(), "after $at s")
        }
    }

    @Test
    fun `probabilities are smoothed across a picture in which the face was missed`() {
        val stream = FaceStream(smoothingSeconds = 0.5)
        val (first, second) = probabilities(1f, 0f) to probabilities(0f, 1f)
        stream.update(listOf(face(0.0, 0.0)), listOf(first), 0)
        assertTrue(stream.update(emptyList(), emptyList(), seconds(0.25)).isEmpty())
        val found = stream.update(listOf(face(0.0, 0.0)), listOf(second), seconds(0.5)).single()
        assertEquals(exp(-1.0).toFloat(), found.values[0], 1e-6f)
    }

    @Test
    fun `probabilities of two faces are not mixed`() {
        val stream = FaceStream()
        val (left, right) = face(0.0, 0.0) to face(300.0, 0.0)
        val (one, two) = probabilities(1f, 0f) to probabilities(0f, 1f)
        stream.update(listOf(left, right), listOf(one, two), 0)
        val found = stream.update(listOf(right, left), listOf(two, one), seconds(0.1))
        assertContentEquals(two.values, found[0].values)
        assertContentEquals(one.values, found[1].values)
    }

    private fun face(
        x: Double,
        y: Double,
    ) = Face(FaceBox(x, y, 100.0, 100.0), 1.0, emptyMap())

    private fun probabilities(vararg values: Float) = Probabilities(listOf("a", "b"), values)

    private fun seconds(value: Double) = (value * 1e9).toLong()
}
