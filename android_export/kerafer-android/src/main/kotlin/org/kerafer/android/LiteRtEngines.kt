package org.kerafer.android

import android.os.Process
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
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/**
 * Runs models through LiteRT's Kotlin interface.
 *
 * A model is compiled for the GPU alone or the CPU alone. With both, LiteRT runs a model that the GPU refuses on the
 * CPU without a word, and an app would report a GPU that does nothing.
 *
 * @property folder where LiteRT finds the models: a private folder, such as `context.cacheDir`.
 */
class LiteRtEngines(
    private val folder: File,
) : EngineFactory,
    AutoCloseable {
    private val environment = lazy { Environment.create() }
    private val prefix = "$PREFIX${Process.myPid()}-"

    init {
        // models of an app that Android ended before it could remove them
        folder
            .listFiles()
            .orEmpty()
            .filter { it.name.startsWith(PREFIX) && !it.name.startsWith(prefix) }
            .forEach { it.delete() }
    }

    override fun compile(
        model: ByteArray,
        input: TensorInfo,
        outputs: List<TensorInfo>,
        accelerator: Accelerator,
    ): Engine {
        val opened = mutableListOf<AutoCloseable>()
        try {
            // LiteRT reads files, and the bytes that were checked must be the ones that it reads
            val place = File.createTempFile(prefix, ".tflite", folder)
            opened += AutoCloseable { place.delete() }
            place.writeBytes(model)
            val wanted = if (accelerator == Accelerator.GPU) LiteRtAccelerator.GPU else LiteRtAccelerator.CPU
            val compiled = CompiledModel.create(place.path, CompiledModel.Options(wanted), environment.value)
            opened += compiled
            val takes = compiled.createInputBuffers().also { opened += it }
            val gives = compiled.createOutputBuffers().also { opened += it }
            return LiteRtEngine(compiled, takes, gives, input.type, outputs.map { it.type }, accelerator, opened)
        } catch (error: Throwable) {
            opened.asReversed().forEach { it.close() }
            throw explained(error)
        }
    }

    /** What makes a choice impossible is an [EngineException], after which the next one is tried. */
    private fun explained(error: Throwable): Throwable =
        when (error) {
            is LiteRtException -> EngineException(error.message ?: "LiteRT could not compile the model", error)

            // a library is missing; what LiteRT's classes throw after the first time is no UnsatisfiedLinkError
            is LinkageError -> EngineException("this device lacks a library of LiteRT: ${error.message}", error)

            is IOException -> EngineException("the model could not be written to $folder: ${error.message}", error)

            else -> error
        }

    override fun close() {
        if (environment.isInitialized()) environment.value.close()
    }

    private companion object {
        const val PREFIX = "kerafer-"
    }
}

/** @property opened what is closed with it, the last first. */
private class LiteRtEngine(
    private val model: CompiledModel,
    private val inputs: List<TensorBuffer>,
    private val outputs: List<TensorBuffer>,
    private val takes: TensorType,
    private val gives: List<TensorType>,
    override val accelerator: Accelerator,
    private val opened: List<AutoCloseable>,
) : Engine {
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

    override fun close() = opened.asReversed().forEach { it.close() }
}
