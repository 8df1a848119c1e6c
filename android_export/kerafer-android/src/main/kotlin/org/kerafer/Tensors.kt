package org.kerafer

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.round

/** A picture as a file's input wants it, and a file's output as probabilities; as Python's runtime does both. */
internal object Tensors {
    /**
     * Return the bytes of a file's input, in native order.
     *
     * @param pixels of the model's size.
     */
    fun input(
        pixels: RgbImage,
        preprocessing: Preprocessing,
        info: TensorInfo,
    ): ByteBuffer {
        val contract = if (info.type == TensorType.FLOAT32) preprocessing else preprocessing.camera()
        val values = contract.scale(pixels)
        val buffer = ByteBuffer.allocateDirect(values.size * info.type.bytes).order(ByteOrder.nativeOrder())
        if (info.type == TensorType.FLOAT32) {
            buffer.asFloatBuffer().put(values)
        } else {
            val range = if (info.type == TensorType.UINT8) 0..255 else -128..127
            for (value in values) {
                val steps = round((value / info.scale!!).toDouble()).toInt() + info.zeroPoint
                buffer.put(steps.coerceIn(range).toByte())
            }
            buffer.rewind()
        }
        return buffer
    }

    /** Return the numbers in a file's output, in native order. */
    fun output(
        buffer: ByteBuffer,
        info: TensorInfo,
    ): FloatArray {
        val count = info.shape.fold(1, Int::times)
        buffer.order(ByteOrder.nativeOrder()).rewind()
        if (info.type == TensorType.FLOAT32) return FloatArray(count).also { buffer.asFloatBuffer().get(it) }
        return FloatArray(count) {
            val byte = buffer.get(it).toInt()
            val value = if (info.type == TensorType.UINT8) byte and 0xff else byte
            (value - info.zeroPoint) * info.scale!!
        }
    }
}
