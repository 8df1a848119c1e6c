package org.kerafer

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.min
import kotlin.math.round

/**
 * Resizing as training does it, with OpenCV's rules in float32: area averaging when both sides shrink or stay, bilinear
 * with half-pixel centres otherwise; the result is rounded to whole values, halves up.
 */
internal object Resize {
    /** What one place of the result takes of one place of the source. */
    private class Share(
        val target: Int,
        val source: Int,
        val weight: Float,
    )

    /** Return the picture at another size; at its own size, the picture itself. */
    fun to(
        image: RgbImage,
        width: Int,
        height: Int,
    ): RgbImage {
        if (image.width == width && image.height == height) return image
        val shrinks = image.width >= width && image.height >= height
        val whole = shrinks && isWhole(image.width, width) && isWhole(image.height, height)
        val values =
            when {
                whole -> blocks(image, width, height)
                shrinks -> weighted(image, width, height, shares(image.width, width), shares(image.height, height))
                else -> weighted(image, width, height, neighbours(image.width, width), neighbours(image.height, height))
            }
        val bytes = ByteArray(values.size) { floor(values[it] + 0.5f).toInt().coerceIn(0, 255).toByte() }
        return RgbImage(width, height, bytes)
    }

    private fun isWhole(
        source: Int,
        target: Int,
    ): Boolean {
        val scale = source.toDouble() / target
        return abs(scale - round(scale)) < Math.ulp(1.0)
    }

    /** Means of whole blocks: sums are exact, and multiplied by the rounded inverse of their count. */
    private fun blocks(
        image: RgbImage,
        width: Int,
        height: Int,
    ): FloatArray {
        val (bw, bh) = image.width / width to image.height / height
        val inverse = 1f / (bw * bh)
        return FloatArray(width * height * RgbImage.CHANNELS) { index ->
            val channel = index % RgbImage.CHANNELS
            val column = index / RgbImage.CHANNELS % width
            val row = index / RgbImage.CHANNELS / width
            var sum = 0
            for (y in row * bh until (row + 1) * bh) {
                for (x in column * bw until (column + 1) * bw) {
                    sum += image.bytes[(y * image.width + x) * RgbImage.CHANNELS + channel].toInt() and 0xff
                }
            }
            sum * inverse
        }
    }

    /** Shares of source pixels by the length of each that lies in a target pixel. */
    private fun shares(
        source: Int,
        target: Int,
    ): List<Share> {
        val scale = source.toDouble() / target
        val found = mutableListOf<Share>()
        for (t in 0 until target) {
            val begin = t * scale
            val end = begin + scale
            val length = min(scale, source - begin)
            val last = min(floor(end).toInt(), source - 1)
            val first = min(ceil(begin).toInt(), last)
            if (first - begin > TINY) found += Share(t, first - 1, ((first - begin) / length).toFloat())
            for (s in first until last) found += Share(t, s, (1.0 / length).toFloat())
            if (end - last > TINY) found += Share(t, last, (min(min(end - last, 1.0), length) / length).toFloat())
        }
        return found
    }

    /** Each target pixel's two neighbours in the source, by the distance of their centres. */
    private fun neighbours(
        source: Int,
        target: Int,
    ): List<Share> {
        val scale = source.toDouble() / target
        val found = mutableListOf<Share>()
        for (t in 0 until target) {
            var place = ((t + 0.5) * scale - 0.5).toFloat()
            var first = floor(place).toInt()
            place -= first
            if (first < 0 || first >= source - 1) {
                first = first.coerceIn(0, source - 1)
                place = 0f
            }
            found += Share(t, first, 1f - place)
            found += Share(t, min(first + 1, source - 1), place)
        }
        return found
    }

    /** Sum along rows, then along columns, in float32 and in the order of the shares. */
    private fun weighted(
        image: RgbImage,
        width: Int,
        height: Int,
        across: List<Share>,
        down: List<Share>,
    ): FloatArray {
        val stride = width * RgbImage.CHANNELS
        val rows = arrayOfNulls<FloatArray>(image.height)
        val out = FloatArray(height * stride)
        for (share in down) {
            val row = rows[share.source] ?: rowOf(image, share.source, stride, across).also { rows[share.source] = it }
            val start = share.target * stride
            for (i in 0 until stride) out[start + i] += share.weight * row[i]
        }
        return out
    }

    private fun rowOf(
        image: RgbImage,
        y: Int,
        stride: Int,
        across: List<Share>,
    ): FloatArray {
        val row = FloatArray(stride)
        for (share in across) {
            val from = (y * image.width + share.source) * RgbImage.CHANNELS
            for (channel in 0 until RgbImage.CHANNELS) {
                val value = (image.bytes[from + channel].toInt() and 0xff).toFloat()
                row[share.target * RgbImage.CHANNELS + channel] += share.weight * value
            }
        }
        return row
    }

    private const val TINY = 1e-3
}
