package org.kerafer

import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PreprocessingTest {
    @Test
    fun `squares are Python's, byte for byte, and so are their pixels where they shrink`() {
        val cuts = Fixtures.cuts.filter { !it.contract.aligned }
        assertTrue(cuts.size >= 8)
        for (cut in cuts) {
            val crop = cut.contract.cropFace(Fixtures.picture, cut.box)
            assertContentEquals(cut.crop.bytes, crop.bytes, "crop of ${cut.box}")
            val found = differences(cut.pixels, cut.contract.pixels(crop))
            // where a picture grows, processors that fuse multiplication and addition round some halves the other way
            val allowed =
                if (crop.width >= cut.contract.resize.width &&
                    crop.height >= cut.contract.resize.height
                ) {
                    0.0
                } else {
                    5e-3
                }
            assertTrue(
                found.average() <= allowed && found.max() <= 1,
                "${found.average()} in ${cut.contract} of ${cut.box}",
            )
        }
    }

    @Test
    fun `turned squares differ from OpenCV's coarser interpolation by little`() {
        val cuts = Fixtures.cuts.filter { it.contract.aligned }
        assertTrue(cuts.size >= 2)
        for (cut in cuts) {
            val crop = cut.contract.cropFace(Fixtures.picture, cut.box, cut.leftEye, cut.rightEye)
            assertEquals(cut.crop.width, crop.width)
            val found = differences(cut.crop, crop)
            assertTrue(found.average() < 0.5, "mean difference ${found.average()} of ${cut.box}")
            assertTrue(found.max() <= 8, "greatest difference ${found.max()} of ${cut.box}")
        }
    }

    @Test
    fun `a model of level eyes wants eyes`() {
        val cut = Fixtures.cuts.first { it.contract.aligned }
        assertFailsWith<IllegalArgumentException> { cut.contract.cropFace(Fixtures.picture, cut.box) }
    }

    @Test
    fun `values are scaled by mean and std`() {
        val contract = Fixtures.card(Fixtures.bundles.first()).preprocessing
        val scaled =
            contract.copy(
                size = Size(1, 1),
                resize = Size(1, 1),
                mean = listOf(0.5f, 0f, 0.25f),
                std = listOf(0.5f, 1f, 2f),
            )
        val values = scaled.scale(RgbImage(1, 1, byteArrayOf(-1, 51, 0)))
        assertContentEquals(floatArrayOf(1f, 0.2f, -0.125f), values)
    }

    @Test
    fun `a picture must have as many bytes as its size says`() {
        assertFailsWith<IllegalArgumentException> { RgbImage(2, 2, ByteArray(11)) }
        assertFailsWith<IllegalArgumentException> { FaceBox(0.0, 0.0, 0.0, 4.0) }
    }

    private fun differences(
        a: RgbImage,
        b: RgbImage,
    ) = a.bytes.indices.map { abs((a.bytes[it].toInt() and 0xff) - (b.bytes[it].toInt() and 0xff)) }
}
