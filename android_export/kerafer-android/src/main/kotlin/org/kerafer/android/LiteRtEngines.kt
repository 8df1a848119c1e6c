package org.kerafer.android

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import org.kerafer.Accelerator
import org.kerafer.Engine
import org.kerafer.EngineException
import org.kerafer.EngineFactory
import org.kerafer.TensorInfo
import org.kerafer.TensorType
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/**
 * Runs models through LiteRT's Kotlin interface.
 *
 * A model is compiled for the GPU alone or the CPU alone. With both, LiteRT runs a model that the GPU refuses on the CPU
 * without a word, and an app would report a GPU that does nothing.
 *
 * @property folder where LiteRT finds the models: a private folder, such as `context.cacheDir`.
 */
class LiteRtEngines(
    private val folder: File,
) : EngineFactory,
    AutoCloseable {
    private val environment by lazy { Environment.create() }

    override fun compile(
        model: ByteArray,
        input: TensorInfo,
        outputs: List<TensorInfo>,
        accelerator: Accelerator,
    ): Engine {
        // LiteRT reads files, and the bytes that were checked must be the ones that it reads
        val place = File.createTempFile("kerafer", ".tflite", folder)
        try {
            place.writeBytes(model)
            val options =
                CompiledModel.Options(
                    if (accelerator == Accelerator.GPU) LiteRtAccelerator.GPU else LiteRtAccelerator.CPU,
                )
            val compiled = CompiledModel.create(place.path, options, environment)
            return LiteRtEngine(compiled, input.type, outputs.map { it.type }, accelerator, place)
        } catch (error: LiteRtException) {
            place.delete()
            throw EngineException(error.message ?: "LiteRT could not compile the model", error)
        } catch (error: UnsatisfiedLinkError) {
            place.delete()
            throw EngineException("this device has no such library: ${error.message}", error)
        }
    }

    override fun close() = environment.close()
}

private class LiteRtEngine(
    private val model: CompiledModel,
    private val takes: TensorType,
    private val gives: List<TensorType>,
    override val accelerator: Accelerator,
    private val place: File,
) : Engine {
    private val inputs: List<TensorBuffer> = model.createInputBuffers()
    private val outputs: List<TensorBuffer> = model.createOutputBuffers()

    override fun run(input: ByteBuffer): List<ByteBuffer> =
        try {
            write(input)
            model.run(inputs, outputs)
            gives.mapIndexed(::read)
        } catch (error: LiteRtException) {
            throw EngineException(error.message ?: "LiteRT could not run the model", error)
        }

    private fun write(input: ByteBuffer) {
        if (takes == TensorType.FLOAT32) {
            val values = input.duplicate().order(ByteOrder.nativeOrder()).asFloatBuffer()
            inputs[0].writeFloat(FloatArray(values.remaining()).also { values.get(it) })
        } else {
            inputs[0].writeInt8(ByteArray(input.remaining()).also { input.duplicate().get(it) })
        }
    }

    private fun read(
        index: Int,
        type: TensorType,
    ): ByteBuffer {
        if (type != TensorType.FLOAT32) return ByteBuffer.wrap(outputs[index].readInt8())
        val values = outputs[index].readFloat()
        val buffer = ByteBuffer.allocate(values.size * Float.SIZE_BYTES).order(ByteOrder.nativeOrder())
        buffer.asFloatBuffer().put(values)
        return buffer
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
        place.delete()
    }
}
