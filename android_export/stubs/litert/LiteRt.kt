// What this project calls of LiteRT's Kotlin interface, so that it compiles where Google's Maven repository cannot be
// reached. Nothing here runs. In Gradle the real artifact takes its place.
@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.ai.edge.litert

import android.content.res.AssetManager

private fun stub(): Nothing = throw UnsupportedOperationException("LiteRT's artifact is missing in this build")

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException internal constructor(
    message: String,
) : Exception(message)

abstract class JniHandle internal constructor() : AutoCloseable {
    final override fun close(): Unit = stub()
}

class Environment private constructor() : JniHandle() {
    companion object {
        @JvmStatic
        fun create(): Environment = stub()
    }
}

class TensorBuffer private constructor() : JniHandle() {
    fun writeFloat(data: FloatArray): Unit = stub()

    fun writeInt8(data: ByteArray): Unit = stub()

    fun readFloat(): FloatArray = stub()

    fun readInt8(): ByteArray = stub()
}

class CompiledModel private constructor() : JniHandle() {
    class Options(
        vararg accelerators: Accelerator,
    )

    fun createInputBuffers(): List<TensorBuffer> = stub()

    fun createOutputBuffers(): List<TensorBuffer> = stub()

    fun run(
        inputs: List<TensorBuffer>,
        outputs: List<TensorBuffer>,
    ): Unit = stub()

    companion object {
        @JvmStatic
        fun create(
            filePath: String,
            options: Options,
            optionalEnv: Environment?,
        ): CompiledModel = stub()

        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options,
            optionalEnv: Environment?,
        ): CompiledModel = stub()
    }
}
