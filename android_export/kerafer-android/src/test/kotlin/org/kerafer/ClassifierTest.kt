package org.kerafer

import org.json.JSONArray
import org.json.JSONObject
import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ClassifierTest {
    @Test
    fun `every file gives Python's golden probabilities on the CPU`() {
        for ((bundle, file) in everyFile()) {
            open(bundle, Choice(file, Accelerator.CPU)).use {
                val difference = Fixtures.golden(bundle).difference(it)
                println("golden ${file.name} CPU: $difference")
                // integer files compute the very same integers; golden.json has them as decimals
                assertTrue(
                    difference <= if (file.takesCameraBytes) DECIMALS else FLOAT_SLACK,
                    "${file.name}: $difference",
                )
            }
        }
    }

    @Test
    fun `float files give them on the GPU too`() {
        val files = everyFile().filter { (_, file) -> file.recipe in listOf("float32", "float16") }
        assertTrue(files.size >= 2)
        for ((bundle, file) in files) {
            open(bundle, Choice(file, Accelerator.GPU)).use {
                assertEquals(Accelerator.GPU, it.choice.accelerator)
                val difference = Fixtures.golden(bundle).difference(it)
                println("golden ${file.name} GPU: $difference")
                assertTrue(difference <= GPU_SLACK, "${file.name}: $difference")
            }
        }
    }

    @Test
    fun `faces of a photograph get Python's probabilities, from picture and box to labels`() {
        for (bundle in Fixtures.bundles) {
            for (face in Fixtures.faces(bundle)) {
                val file = Fixtures.card(bundle).files.single { it.name == face.file }
                open(bundle, Choice(file, Accelerator.CPU)).use {
                    val found = it.classify(Fixtures.picture, face.box)
                    val difference = found.values.indices.maxOf { i -> abs(found.values[i] - face.probabilities[i]) }
                    assertTrue(difference <= FLOAT_SLACK, "${face.file} of ${face.box}: $difference")
                    assertEquals(face.probabilities.indices.maxBy { i -> face.probabilities[i] }, found.best)
                }
            }
        }
    }

    @Test
    fun `golden vectors notice labels and outputs in another order`() {
        val bundle = Fixtures.bundles.first()
        val file = Fixtures.card(bundle).files.first { !it.takesCameraBytes }
        val golden = JSONObject(Fixtures.read(bundle, "golden.json").decodeToString())
        val rows = golden.getJSONObject("outputs").getJSONArray(file.name)
        for (row in 0 until rows.length()) {
            val values = rows.getJSONArray(row)
            rows.put(row, JSONArray(List(values.length()) { values.getDouble(values.length() - 1 - it) }))
        }
        val turned = Golden.parse(golden.toString()) { Fixtures.read(bundle, it) }
        open(bundle, Choice(file, Accelerator.CPU)).use { assertTrue(turned.difference(it) > 0.1f) }
    }

    @Test
    fun `golden vectors notice a card with labels in another order`() {
        val bundle = Fixtures.bundles.first()
        val json = JSONObject(Fixtures.cardText(bundle))
        val labels = json.getJSONArray("labels")
        val first = labels.getString(0)
        labels.put(0, labels.getString(1)).put(1, first)
        val card = ModelCard.parse(json.toString())
        val choice = Choices.of(card, gpu = false).first()
        Classifier.open(card, LiteRtC, listOf(choice)) { Fixtures.read(bundle, it) }.use {
            val error = assertFailsWith<CardException> { Fixtures.golden(bundle).difference(it) }
            assertContains(error.message!!, first)
        }
    }

    @Test
    fun `the GPU is tried first, and the CPU when it refuses`() {
        val bundle = Fixtures.bundles.first()
        val tried = mutableListOf<Accelerator>()
        val refusing =
            EngineFactory { model, input, outputs, accelerator ->
                tried += accelerator
                if (accelerator == Accelerator.GPU) throw EngineException("no GPU here")
                LiteRtC.compile(model, input, outputs, accelerator)
            }
        Classifier.open(Fixtures.card(bundle), refusing) { Fixtures.read(bundle, it) }.use {
            assertEquals(Accelerator.GPU, tried.first())
            assertEquals(Accelerator.CPU, it.choice.accelerator)
            assertEquals(tried.count { a -> a == Accelerator.GPU }, it.refused.size)
            assertContains(it.refused.first(), "no GPU here")
        }
    }

    @Test
    fun `an engine that computes nonsense is not taken`() {
        val bundle = Fixtures.bundles.first()
        val broken =
            EngineFactory { _, _, outputs, accelerator ->
                object : Engine {
                    override val accelerator = accelerator

                    override fun run(input: ByteBuffer) =
                        outputs.map { ByteBuffer.allocate(it.shape.fold(it.type.bytes, Int::times)) }

                    override fun close() = Unit
                }
            }
        val error =
            assertFailsWith<EngineException> {
                Classifier.open(Fixtures.card(bundle), broken) { Fixtures.read(bundle, it) }
            }
        assertContains(error.message!!, "no probabilities")
    }

    @Test
    fun `pixels of another size are refused`() {
        val bundle = Fixtures.bundles.first()
        open(bundle, Choices.of(Fixtures.card(bundle), gpu = false).first()).use {
            assertFailsWith<IllegalArgumentException> { it.classifyPixels(RgbImage(2, 2, ByteArray(12))) }
        }
    }

    private fun everyFile() = Fixtures.bundles.flatMap { bundle -> Fixtures.card(bundle).files.map { bundle to it } }

    private fun open(
        bundle: String,
        choice: Choice,
    ) = Classifier.open(Fixtures.card(bundle), LiteRtC, listOf(choice)) { Fixtures.read(bundle, it) }

    private companion object {
        const val DECIMALS = 1e-6f
        const val FLOAT_SLACK = 1e-5f
        const val GPU_SLACK = 1e-4f
    }
}
