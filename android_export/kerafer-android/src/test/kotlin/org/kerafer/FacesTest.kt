package org.kerafer

import org.json.JSONObject
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class FacesTest {
    @Test
    fun `faces are where Python finds them`() {
        assertTrue(Fixtures.detected.any { (_, faces) -> faces.size == 2 })
        assertTrue(Fixtures.detected.any { (_, faces) -> faces.isEmpty() })
        FaceFinder.open(LiteRtC, Fixtures::readFaces).use { finder ->
            for ((picture, expected) in Fixtures.detected) {
                val found = finder.find(picture)
                assertEquals(expected.size, found.size)
                for ((one, other) in expected.zip(found)) {
                    assertEquals(one.box, other.box)
                    assertEquals(one.landmarks, other.landmarks)
                    assertEquals(one.confidence, other.confidence, 1e-4)
                }
            }
        }
    }

    @Test
    fun `a face and its eyes go into a classifier`() {
        val (picture, faces) = Fixtures.detected.first()
        val bundle = Fixtures.bundles.first()
        val card = Fixtures.card(bundle)
        Classifier.open(card, LiteRtC, Choices.of(card, gpu = false)) { Fixtures.read(bundle, it) }.use {
            val probabilities = it.classify(picture, faces.single())
            assertEquals(it.classify(picture, faces.single().box).values.toList(), probabilities.values.toList())
        }
    }

    @Test
    fun `a damaged file or another format is refused`() {
        val damaged =
            assertFailsWith<CardException> {
                FaceFinder.open(LiteRtC) { name ->
                    Fixtures.readFaces(name).also { if (name.endsWith(".tflite")) it[it.size - 1]++ }
                }
            }
        assertContains(damaged.message!!, "SHA-256")
        val newer = JSONObject(Fixtures.readFaces("detector.json").decodeToString()).put("format", 2).toString()
        val error =
            assertFailsWith<CardException> {
                FaceFinder.open(LiteRtC) { name ->
                    if (name == "detector.json") newer.encodeToByteArray() else Fixtures.readFaces(name)
                }
            }
        assertContains(error.message!!, "format")
    }

    @Test
    fun `a face keeps its number while it moves, and a new one gets a new number`() {
        fun face(
            x: Double,
            y: Double,
        ) = Face(FaceBox(x, y, 100.0, 100.0), 1.0, emptyMap())
        val tracks = Tracks()
        assertEquals(listOf(0, 1), tracks.follow(listOf(face(0.0, 0.0), face(300.0, 0.0))))
        assertEquals(listOf(1, 0), tracks.follow(listOf(face(280.0, 10.0), face(30.0, 5.0))))
        assertEquals(listOf(0, 2), tracks.follow(listOf(face(50.0, 5.0), face(600.0, 300.0))))
        assertEquals(listOf(3), tracks.follow(listOf(face(300.0, 0.0))))
    }
}
