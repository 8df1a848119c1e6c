package org.kerafer

import java.nio.ByteBuffer

/** What a model runs on. */
enum class Accelerator { GPU, CPU }

/** That a model cannot run here, and why. */
class EngineException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** One compiled model; not safe for several threads at once. */
interface Engine : AutoCloseable {
    /** What it runs on, wholly. */
    val accelerator: Accelerator

    /**
     * Run the model on one input.
     *
     * @param input bytes of the whole input in native order.
     * @return bytes of each whole output in native order, in the file's order.
     * @throws EngineException if the run fails.
     */
    fun run(input: ByteBuffer): List<ByteBuffer>
}

/** Compiles models for an accelerator. */
fun interface EngineFactory {
    /**
     * Compile a model for one accelerator alone.
     *
     * @param outputs in the file's order.
     * @throws EngineException if this device or this model does not allow it.
     */
    fun compile(
        model: ByteArray,
        input: TensorInfo,
        outputs: List<TensorInfo>,
        accelerator: Accelerator,
    ): Engine
}

/** A file on an accelerator. */
data class Choice(
    val file: ModelFile,
    val accelerator: Accelerator,
)

/** Which file of a bundle to try on what, best first. */
object Choices {
    /**
     * Float files for the GPU, smallest arithmetic first, then integer files for the CPU, then float files there.
     *
     * A GPU takes a file wholly or not at all, so each choice is tried by itself: LiteRT's compiled models on a GPU do
     * not fall back to the CPU on their own.
     *
     * @param gpu whether to try the GPU at all.
     */
    fun of(
        card: ModelCard,
        gpu: Boolean = true,
    ): List<Choice> {
        val floats = card.files.filter { !it.takesCameraBytes && it.recipe in FLOAT_ARITHMETIC }
        val onGpu = if (gpu) floats.sortedBy { rank(it.recipe, FLOAT_ARITHMETIC) } else emptyList()
        val onCpu = card.files.sortedBy { rank(it.recipe, FOR_CPU) }
        return onGpu.map { Choice(it, Accelerator.GPU) } + onCpu.map { Choice(it, Accelerator.CPU) }
    }

    private fun rank(
        recipe: String,
        order: List<String>,
    ) = order.indexOf(recipe).let { if (it < 0) order.size else it }

    /** Recipes whose files compute in floats, so that GPUs take them. */
    private val FLOAT_ARITHMETIC = listOf("float16", "float32", "weight_int8")
    private val FOR_CPU = listOf("qat_int8", "static_int8", "float32", "float16", "dynamic_int8", "weight_int8")
}
