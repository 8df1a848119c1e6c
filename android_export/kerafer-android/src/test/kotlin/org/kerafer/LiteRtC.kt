package org.kerafer

import com.sun.jna.Library
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLong
import com.sun.jna.Pointer
import com.sun.jna.ptr.ByteByReference
import com.sun.jna.ptr.PointerByReference
import java.nio.ByteBuffer

/** LiteRT's C functions that a run needs; every one but the destroyers returns 0 when it went well. */
@Suppress("FunctionName", "ktlint:standard:function-naming")
private interface LiteRt : Library {
    fun LiteRtCreateEnvironment(
        options: Int,
        values: Pointer?,
        environment: PointerByReference,
    ): Int

    fun LiteRtCreateModelFromBuffer(
        environment: Pointer,
        content: Pointer,
        bytes: NativeLong,
        model: PointerByReference,
    ): Int

    fun LiteRtCreateOptions(options: PointerByReference): Int

    fun LiteRtSetOptionsHardwareAccelerators(
        options: Pointer,
        accelerators: Int,
    ): Int

    fun LiteRtCreateCompiledModel(
        environment: Pointer,
        model: Pointer,
        options: Pointer,
        compiled: PointerByReference,
    ): Int

    fun LiteRtCompiledModelIsFullyAccelerated(
        compiled: Pointer,
        fully: ByteByReference,
    ): Int

    fun LiteRtGetCompiledModelInputBufferRequirements(
        compiled: Pointer,
        signature: NativeLong,
        index: NativeLong,
        requirements: PointerByReference,
    ): Int

    fun LiteRtGetCompiledModelOutputBufferRequirements(
        compiled: Pointer,
        signature: NativeLong,
        index: NativeLong,
        requirements: PointerByReference,
    ): Int

    fun LiteRtCreateManagedTensorBufferFromRequirements(
        environment: Pointer,
        type: Pointer,
        requirements: Pointer,
        buffer: PointerByReference,
    ): Int

    fun LiteRtLockTensorBuffer(
        buffer: Pointer,
        address: PointerByReference,
        mode: Int,
    ): Int

    fun LiteRtUnlockTensorBuffer(buffer: Pointer): Int

    fun LiteRtRunCompiledModel(
        compiled: Pointer,
        signature: NativeLong,
        inputs: NativeLong,
        input: PointerByReference,
        outputs: NativeLong,
        output: Pointer,
    ): Int

    fun LiteRtDestroyTensorBuffer(buffer: Pointer)

    fun LiteRtDestroyCompiledModel(compiled: Pointer)

    fun LiteRtDestroyOptions(options: Pointer)

    fun LiteRtDestroyModel(model: Pointer)
}

/** The runtime that phones have, called through its C library: on a phone `LiteRtEngine` calls it through Kotlin. */
object LiteRtC : EngineFactory {
    private val library: LiteRt by lazy { Native.load("LiteRt", LiteRt::class.java) }
    private val environment: Pointer by lazy { made("environment") { library.LiteRtCreateEnvironment(0, null, it) } }

    override fun compile(
        model: ByteArray,
        input: TensorInfo,
        outputs: List<TensorInfo>,
        accelerator: Accelerator,
    ): Engine {
        val content = Memory(model.size.toLong()).apply { write(0, model, 0, model.size) }
        val loaded =
            made("model") {
                library.LiteRtCreateModelFromBuffer(environment, content, NativeLong(content.size()), it)
            }
        val options = made("options") { library.LiteRtCreateOptions(it) }
        check(library.LiteRtSetOptionsHardwareAccelerators(options, if (accelerator == Accelerator.CPU) 1 else 2) == 0)
        val compiled =
            try {
                made("compiled model") { library.LiteRtCreateCompiledModel(environment, loaded, options, it) }
            } catch (error: EngineException) {
                library.LiteRtDestroyModel(loaded)
                throw error
            } finally {
                library.LiteRtDestroyOptions(options)
            }
        if (accelerator == Accelerator.GPU && !isFullyAccelerated(compiled)) {
            library.LiteRtDestroyCompiledModel(compiled)
            library.LiteRtDestroyModel(loaded)
            throw EngineException("the GPU takes a part of the model only")
        }
        return Compiled(loaded, compiled, input, outputs, accelerator, content)
    }

    /** What LiteRT itself says of a model that it compiled; so far it refused at once what the GPU did not take wholly. */
    private fun isFullyAccelerated(compiled: Pointer): Boolean {
        val fully = ByteByReference()
        check(library.LiteRtCompiledModelIsFullyAccelerated(compiled, fully) == 0)
        return fully.value != 0.toByte()
    }

    /** @property content must outlive the model, which reads from it. */
    private class Compiled(
        private val model: Pointer,
        private val compiled: Pointer,
        input: TensorInfo,
        outputs: List<TensorInfo>,
        override val accelerator: Accelerator,
        private val content: Memory,
    ) : Engine {
        private val input =
            buffer(input) { library.LiteRtGetCompiledModelInputBufferRequirements(compiled, FIRST, FIRST, it) }
        private val outputs =
            outputs.mapIndexed { i, info ->
                val index = NativeLong(i.toLong())
                buffer(info) { library.LiteRtGetCompiledModelOutputBufferRequirements(compiled, FIRST, index, it) }
            }
        private val bytes = outputs.map { it.shape.fold(it.type.bytes, Int::times) }

        override fun run(input: ByteBuffer): List<ByteBuffer> {
            val values = ByteArray(input.remaining()).also { input.duplicate().get(it) }
            locked(this.input, WRITE) { it.write(0, values, 0, values.size) }
            val list = Memory(outputs.size.toLong() * Native.POINTER_SIZE)
            outputs.forEachIndexed { i, output -> list.setPointer(i.toLong() * Native.POINTER_SIZE, output) }
            val status =
                library.LiteRtRunCompiledModel(
                    compiled,
                    FIRST,
                    NativeLong(1),
                    PointerByReference(this.input),
                    NativeLong(outputs.size.toLong()),
                    list,
                )
            if (status != 0) throw EngineException("LiteRT could not run the model: status $status")
            return outputs.zip(bytes) { output, size ->
                locked(output, READ) { ByteBuffer.wrap(it.getByteArray(0, size)) }
            }
        }

        override fun close() {
            library.LiteRtDestroyTensorBuffer(input)
            outputs.forEach { library.LiteRtDestroyTensorBuffer(it) }
            library.LiteRtDestroyCompiledModel(compiled)
            library.LiteRtDestroyModel(model)
            content.close()
        }

        private fun buffer(
            info: TensorInfo,
            require: (PointerByReference) -> Int,
        ): Pointer {
            // element type, rank, sizes: the rest of the structure, strides, stays zero
            val type = Memory(TYPE_BYTES).apply { clear() }
            type.setInt(
                0,
                mapOf(TensorType.FLOAT32 to 1, TensorType.UINT8 to 3, TensorType.INT8 to 9).getValue(info.type),
            )
            type.setInt(Int.SIZE_BYTES.toLong(), info.shape.size)
            info.shape.forEachIndexed { i, n -> type.setInt((2L + i) * Int.SIZE_BYTES, n) }
            val requirements = made("requirements", require)
            return made("buffer") {
                library.LiteRtCreateManagedTensorBufferFromRequirements(environment, type, requirements, it)
            }
        }

        private fun <T> locked(
            buffer: Pointer,
            mode: Int,
            use: (Pointer) -> T,
        ): T {
            val address = made("address") { library.LiteRtLockTensorBuffer(buffer, it, mode) }
            return use(address).also { library.LiteRtUnlockTensorBuffer(buffer) }
        }
    }

    private fun made(
        what: String,
        make: (PointerByReference) -> Int,
    ): Pointer {
        val place = PointerByReference()
        val status = make(place)
        if (status != 0) throw EngineException("LiteRT made no $what: status $status")
        return place.value
    }

    private val FIRST = NativeLong(0)
    private const val READ = 0
    private const val WRITE = 1
    private const val TYPE_BYTES = 256L
}
