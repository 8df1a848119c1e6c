package org.kerafer

import org.json.JSONObject
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
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
    fun `a face's eyes go into a classifier that wants them level, each as what it is`() {
        val (picture, faces) = Fixtures.detected.first()
        val face = faces.single()
        val bundle = Fixtures.bundles.first()
        val card = Fixtures.card(bundle).let { it.copy(preprocessing = it.preprocessing.copy(aligned = true)) }
        Classifier.open(card, LiteRtC, Choices.of(card, gpu = false)) { Fixtures.read(bundle, it) }.use {
            val (left, right) = listOf("left_eye", "right_eye").map { eye -> face.landmarks.getValue(eye) }
            val found = it.classify(picture, face).values.toList()
            assertEquals(it.classify(picture, face.box, left, right).values.toList(), found)
            assertNotEquals(it.classify(picture, face.box, right, left).values.toList(), found)
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
    fun `a damaged second network closes the first`() {
        var open = 0
        val counting =
            EngineFactory { model, input, outputs, accelerator ->
                val engine = LiteRtC.compile(model, input, outputs, accelerator)
                open++
                object : Engine by engine {
                    override fun close() {
                        open--
                        engine.close()
                    }
                }
            }
        val networks = JSONObject(Fixtures.readFaces("detector.json").decodeToString()).getJSONArray("networks")
        val last = networks.getJSONObject(networks.length() - 1).getString("file")
        assertFailsWith<CardException> {
            FaceFinder.open(counting) { name -> Fixtures.readFaces(name).also { if (name == last) it[0]++ } }
        }
        assertTrue(networks.length() > 1)
        assertEquals(0, open)
    }
}
