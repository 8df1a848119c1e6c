package org.kerafer

import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

class TensorsTest {
    private val pixels = RgbImage(1, 1, byteArrayOf(0, 51, -1))
    private val contract =
        Preprocessing(Size(1, 1), Size(1, 1), listOf(0.5f, 0.5f, 0.5f), listOf(0.5f, 0.5f, 0.5f), 1.0, 0.0, false)

    private fun info(
        type: TensorType,
        scale: Float?,
        zeroPoint: Int,
        count: Int = 3,
    ) = TensorInfo("t", listOf(1, count), type, scale, zeroPoint)

    private fun bytes(buffer: ByteBuffer) = ByteArray(buffer.remaining()).also { buffer.get(it) }

    @Test
    fun `camera bytes go into uint8 as they are, and into int8 shifted, whatever the model is scaled by`() {
        val unsigned = Tensors.input(pixels, contract, info(TensorType.UINT8, 1 / 255f, 0))
        assertContentEquals(byteArrayOf(0, 51, -1), bytes(unsigned))
        val signed = Tensors.input(pixels, contract, info(TensorType.INT8, 1 / 255f, -128))
        assertContentEquals(byteArrayOf(-128, -77, 127), bytes(signed))
    }

    @Test
    fun `values beyond a type's range stop at its end`() {
        val unsigned = Tensors.input(pixels, contract, info(TensorType.UINT8, 1 / 510f, 0))
        assertContentEquals(byteArrayOf(0, 102, -1), bytes(unsigned))
        val signed = Tensors.input(pixels, contract, info(TensorType.INT8, 1 / 510f, -128))
        assertContentEquals(byteArrayOf(-128, -26, 127), bytes(signed))
    }

    @Test
    fun `outputs of both integer types are probabilities, those above a half too`() {
        val unsigned = Tensors.output(ByteBuffer.wrap(byteArrayOf(0, 64, -64)), info(TensorType.UINT8, 1 / 256f, 0))
        val signed = Tensors.output(ByteBuffer.wrap(byteArrayOf(-128, -64, 64)), info(TensorType.INT8, 1 / 256f, -128))
        assertEquals(listOf(0f, 0.25f, 0.75f), unsigned.toList())
        assertEquals(unsigned.toList(), signed.toList())
    }
}
