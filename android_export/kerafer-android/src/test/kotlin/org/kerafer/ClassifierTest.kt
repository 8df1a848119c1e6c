package org.kerafer

import org.json.JSONArray
import org.json.JSONObject
import java.nio.ByteBuffer
import java.nio.ByteOrder
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
    fun `files that compute in floats give them on the GPU too`() {
        val choices =
            Fixtures.bundles.flatMap { bundle ->
                Choices.of(Fixtures.card(bundle)).filter { it.accelerator == Accelerator.GPU }.map { bundle to it }
            }
        assertEquals(setOf("float16", "float32", "weight_int8"), choices.map { it.second.file.recipe }.toSet())
        for ((bundle, choice) in choices) {
            // compiled for the GPU alone, and refused where LiteRT says that it does not take all
            open(bundle, choice).use {
                val difference = Fixtures.golden(bundle).difference(it)
                println("golden ${choice.file.name} GPU: $difference")
                assertTrue(difference <= GPU_SLACK, "${choice.file.name}: $difference")
            }
        }
    }

    @Test
    fun `a model of which the GPU takes a part only is refused there, and the CPU takes it`() {
        val model = Fixtures.sixAxes
        val outputs = listOf(model.output)
        assertFailsWith<EngineException> { LiteRtC.compile(model.content, model.input, outputs, Accelerator.GPU) }
        val ones = ByteBuffer.allocate(4 * model.input.shape.fold(1, Int::times)).order(ByteOrder.nativeOrder())
        repeat(ones.capacity() / 4) { ones.putFloat(4 * it, 1f) }
        LiteRtC.compile(model.content, model.input, outputs, Accelerator.CPU).use {
            val found = it.run(ones).single().order(ByteOrder.nativeOrder()).asFloatBuffer()
            val values = List(found.remaining()) { i -> found.get(i) }
            assertEquals(List(model.output.shape.last()) { model.ofOnes }, values)
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
    fun `a card with labels in another order is refused, before a face and with golden vectors of another bundle`() {
        val bundle = Fixtures.bundles.first()
        val json = JSONObject(Fixtures.cardText(bundle))
        val labels = json.getJSONArray("labels")
        val first = labels.getString(0)
        labels.put(0, labels.getString(1)).put(1, first)
        val card = ModelCard.parse(json.toString())
        val error =
            assertFailsWith<CardException> { Classifier.open(card, LiteRtC) { Fixtures.read(bundle, it) } }
        assertContains(error.message!!, "labels must be [$first")
        open(bundle, Choices.of(card, gpu = false).first()).use {
            val golden = JSONObject(Fixtures.read(bundle, Golden.FILE).decodeToString()).put("labels", labels)
            val other = Golden.parse(golden.toString()) { name -> Fixtures.read(bundle, name) }
            assertFailsWith<CardException> { other.difference(it) }
        }
    }

    @Test
    fun `a file with one other byte is refused at opening`() {
        val bundle = Fixtures.bundles.first()
        val choice = Choices.of(Fixtures.card(bundle), gpu = false).first()
        val error =
            assertFailsWith<CardException> {
                Classifier.open(Fixtures.card(bundle), LiteRtC, listOf(choice)) { name ->
                    Fixtures.read(bundle, name).also { if (name == choice.file.name) it[it.size - 1]++ }
                }
            }
        assertContains(error.message!!, choice.file.name)
        assertContains(error.message!!, "SHA-256")
    }

    @Test
    fun `golden vectors that are damaged or of other classes are refused`() {
        val bundle = Fixtures.bundles.first()
        val text = Fixtures.read(bundle, Golden.FILE).decodeToString()

        fun refuses(
            golden: String,
            why: String,
        ) {
            val error =
                assertFailsWith<CardException> {
                    Classifier.open(Fixtures.card(bundle), LiteRtC) { name ->
                        if (name == Golden.FILE) golden.encodeToByteArray() else Fixtures.read(bundle, name)
                    }
                }
            assertContains(error.message!!, why)
        }
        refuses("no vectors", "damaged")
        refuses(JSONObject(text).put("shape", JSONArray(listOf(0, 4, 4, 3))).toString(), "must hold [0, 4, 4, 3] bytes")
        refuses(JSONObject(text).put("outputs", JSONObject()).toString(), "outputs of")
        val short = JSONObject(text)
        short.getJSONObject("outputs").keys().forEach { short.getJSONObject("outputs").getJSONArray(it).remove(0) }
        refuses(short.toString(), "Received")
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
    fun `a driver that gives each class another's probability is not taken, and the CPU is`() {
        val bundle = Fixtures.bundles.first()
        val card = Fixtures.card(bundle)
        val turning =
            EngineFactory { model, input, outputs, accelerator ->
                val engine = LiteRtC.compile(model, input, outputs, Accelerator.CPU)
                if (accelerator == Accelerator.GPU) Turned(engine, outputs.single().type.bytes) else engine
            }
        Classifier.open(card, turning) { Fixtures.read(bundle, it) }.use {
            assertEquals(Choices.of(card, gpu = false).first(), it.choice)
            assertEquals(Choices.of(card).count { choice -> choice.accelerator == Accelerator.GPU }, it.refused.size)
            it.refused.forEach { why -> assertContains(why, "differ from Python's") }
        }
    }

    @Test
    fun `probabilities that are no numbers are refused`() {
        val bundle = Fixtures.bundles.first()
        val file = Fixtures.card(bundle).file("float32")!!
        val silent =
            EngineFactory { _, _, outputs, accelerator ->
                object : Engine {
                    override val accelerator = accelerator

                    override fun run(input: ByteBuffer) =
                        outputs.map { info ->
                            val values = FloatArray(info.shape.last()) { Float.NaN }
                            ByteBuffer.allocate(4 * values.size).order(ByteOrder.nativeOrder()).apply {
                                asFloatBuffer().put(values)
                            }
                        }

                    override fun close() = Unit
                }
            }
        val error =
            assertFailsWith<EngineException> {
                Classifier.open(Fixtures.card(bundle), silent, listOf(Choice(file, Accelerator.CPU))) {
                    Fixtures.read(bundle, it)
                }
            }
        assertContains(error.message!!, "NaN")
    }

    @Test
    fun `a choice that fails after it was taken makes place for the next`() {
        val bundle = Fixtures.bundles.first()
        val card = Fixtures.card(bundle)
        val choices = listOf("float16", "float32").map { Choice(card.file(it)!!, Accelerator.CPU) }
        val compiled = mutableListOf<Failing>()
        // the first engine runs once, for the golden vector; the second never fails
        val failing =
            EngineFactory { model, input, outputs, accelerator ->
                val runs = if (compiled.isEmpty()) 1 else Int.MAX_VALUE
                Failing(LiteRtC.compile(model, input, outputs, accelerator), runs).also { compiled += it }
            }
        val golden = Fixtures.golden(bundle)
        Classifier.open(card, failing, choices) { Fixtures.read(bundle, it) }.use {
            assertEquals(choices[0], it.choice)
            val found = it.classifyPixels(golden.pixels[1]).values
            assertEquals(choices[1], it.choice)
            assertContains(it.refused.single(), "the device is gone")
            assertEquals(listOf(true, false), compiled.map { engine -> engine.closed })
            val expected = golden.expected("${card.model}_float32.tflite")[1]
            assertTrue(found.indices.all { i -> abs(found[i] - expected[i]) <= FLOAT_SLACK })
            assertTrue(golden.difference(it) <= FLOAT_SLACK)
        }
        assertEquals(listOf(true, true), compiled.map { it.closed })
    }

    @Test
    fun `when the last choice fails, that is said, and again at the next face`() {
        val bundle = Fixtures.bundles.first()
        val card = Fixtures.card(bundle)
        val failing =
            EngineFactory { model, input, outputs, accelerator ->
                Failing(LiteRtC.compile(model, input, outputs, accelerator), 1)
            }
        val choices = listOf(Choice(card.file("float32")!!, Accelerator.CPU))
        Classifier.open(card, failing, choices) { Fixtures.read(bundle, it) }.use {
            repeat(2) { _ ->
                val error = assertFailsWith<EngineException> { it.classifyFace(Fixtures.picture) }
                assertContains(error.message!!, "the device is gone")
            }
        }
    }

    @Test
    fun `tolerances go by what computes`() {
        val card = Fixtures.card(Fixtures.bundles.first())

        fun of(
            recipe: String,
            accelerator: Accelerator = Accelerator.CPU,
        ) = Tolerances.of(Choice(card.file(recipe)!!, accelerator))
        assertEquals(listOf(1e-4f, 1e-4f, 2e-2f), listOf(of("float32"), of("float16"), of("float16", Accelerator.GPU)))
        // two steps, and a little for their decimals
        assertTrue(of("static_int8") > 2f / 256 && of("static_int8") < 2.001f / 256)
        assertEquals(listOf(5e-2f, 5e-2f), listOf(of("dynamic_int8"), of("weight_int8", Accelerator.GPU)))
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

    /** Gives each class the probability of the one before it, which still sum to 1. */
    private class Turned(
        private val engine: Engine,
        private val bytes: Int,
    ) : Engine by engine {
        override fun run(input: ByteBuffer) =
            engine.run(input).map { output ->
                val values = ByteArray(output.remaining()).also { output.duplicate().get(it) }
                ByteBuffer.wrap(ByteArray(values.size) { values[(it + bytes) % values.size] })
            }
    }

    /** Runs as often as it is told, and fails then, as a device does that is taken away. */
    private class Failing(
        private val engine: Engine,
        private var runs: Int,
    ) : Engine by engine {
        var closed = false
            private set

        override fun run(input: ByteBuffer): List<ByteBuffer> {
            if (runs-- <= 0) throw EngineException("the device is gone")
            return engine.run(input)
        }

        override fun close() {
            check(!closed) { "an engine must be closed once" }
            closed = true
            engine.close()
        }
    }

    private companion object {
        const val DECIMALS = 1e-6f
        const val FLOAT_SLACK = 1e-5f
        const val GPU_SLACK = 1e-4f
    }
}
