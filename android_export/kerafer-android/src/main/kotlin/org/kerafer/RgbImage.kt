package org.kerafer

import kotlin.math.round
import kotlin.math.sqrt

/** A place in a picture in pixels, x to the right and y down. */
data class Place(
    val x: Double,
    val y: Double,
)

/** A face's box in pixels of the upright picture. */
data class FaceBox(
    val x: Double,
    val y: Double,
    val width: Double,
    val height: Double,
) {
    init {
        require(width > 0 && height > 0) { "A face's box must have a positive width and height. Received: $this" }
    }

    /** The geometric mean of width and height, which the card's `face_scale` is a multiple of. */
    val side: Double get() = sqrt(width * height)
}

/**
 * An upright picture, rows from top to bottom, three bytes (red, green, blue) a pixel.
 *
 * @property bytes `width * height * 3` values, each 0 to 255 as an unsigned byte.
 */
class RgbImage(
    val width: Int,
    val height: Int,
    val bytes: ByteArray,
) {
    init {
        require(width > 0 && height > 0 && bytes.size == width * height * CHANNELS) {
            "A picture of $width x $height must have ${width * height * CHANNELS} bytes. Received: ${bytes.size}"
        }
    }

    /**
     * Cut a square, as Python's `Preprocessing.crop_face` does: pixels beyond the picture repeat its edge.
     *
     * @param left x of the square's left edge in pixels, rounded to a whole one, halves to even.
     * @param top y of its upper edge.
     * @param side its side, rounded to whole pixels, at least 1.
     */
    fun square(
        left: Double,
        top: Double,
        side: Double,
    ): RgbImage {
        val (x0, y0) = round(left).toInt() to round(top).toInt()
        val n = round(side).toInt().coerceAtLeast(1)
        val cut = ByteArray(n * n * CHANNELS)
        for (row in 0 until n) {
            val y = (y0 + row).coerceIn(0, height - 1)
            for (column in 0 until n) {
                val x = (x0 + column).coerceIn(0, width - 1)
                bytes.copyInto(
                    cut,
                    (row * n + column) * CHANNELS,
                    (y * width + x) * CHANNELS,
                    (y * width + x + 1) * CHANNELS,
                )
            }
        }
        return RgbImage(n, n, cut)
    }

    /** Put the picture into a larger black one. */
    internal fun within(
        left: Int,
        top: Int,
        width: Int,
        height: Int,
    ): RgbImage {
        val whole = ByteArray(width * height * CHANNELS)
        val stride = this.width * CHANNELS
        for (row in 0 until this.height) {
            bytes.copyInto(whole, ((top + row) * width + left) * CHANNELS, row * stride, (row + 1) * stride)
        }
        return RgbImage(width, height, whole)
    }

    companion object {
        const val CHANNELS = 3
    }
}
