package org.kerafer

import org.json.JSONArray
import org.json.JSONObject
import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.floor
import kotlin.math.round
import kotlin.math.sin

/** Height and width in pixels, in the card's order. */
data class Size(
    val height: Int,
    val width: Int,
)

/**
 * The contract from a picture to a model's input, read from the card; the same rules as Python's `Preprocessing`.
 *
 * face box, square around it, resize to [resize], centre crop to [size], RGB / 255, (x - [mean]) / [std]
 *
 * @property faceScale side of the square in units of the box's [FaceBox.side].
 * @property faceShift shift of the square's centre downwards, in units of the square's side.
 * @property aligned whether the square is turned until the eyes are level.
 */
data class Preprocessing(
    val size: Size,
    val resize: Size,
    val mean: List<Float>,
    val std: List<Float>,
    val faceScale: Double,
    val faceShift: Double,
    val aligned: Boolean,
) {
    init {
        cardCheck(size.height > 0 && size.width > 0, "preprocessing.size", "positive", size)
        cardCheck(
            resize.height >= size.height && resize.width >= size.width,
            "preprocessing.resize",
            "at least size",
            resize,
        )
        cardCheck(
            mean.size == RgbImage.CHANNELS &&
                mean.all {
                    it.isFinite()
                },
            "preprocessing.mean",
            "three numbers",
            mean,
        )
        cardCheck(
            std.size == RgbImage.CHANNELS &&
                std.all {
                    it.isFinite() && it > 0
                },
            "preprocessing.std",
            "three positive numbers",
            std,
        )
        cardCheck(faceScale.isFinite() && faceScale > 0, "preprocessing.face_scale", "positive", faceScale)
        cardCheck(faceShift.isFinite(), "preprocessing.face_shift", "finite", faceShift)
    }

    /** The same contract for files that take camera bytes: values of 0 to 1 are not scaled further. */
    fun camera(): Preprocessing = copy(mean = List(RgbImage.CHANNELS) { 0f }, std = List(RgbImage.CHANNELS) { 1f })

    /**
     * Cut a face out of a picture, turned until the eyes are level where the model was trained so.
     *
     * @param leftEye the eye on the left as the viewer sees it; needed where [aligned].
     * @throws IllegalArgumentException if the model wants level eyes and none are given, or both lie in one place.
     */
    fun cropFace(
        image: RgbImage,
        box: FaceBox,
        leftEye: Place? = null,
        rightEye: Place? = null,
    ): RgbImage {
        val side = faceScale * box.side
        val left = box.x + box.width / 2 - side / 2
        val top = box.y + box.height / 2 - side / 2 + faceShift * side
        if (!aligned) return image.square(left, top, side)
        require(leftEye != null && rightEye != null && leftEye != rightEye) {
            "This model wants level eyes: both eyes of the face must be given. Received: $leftEye and $rightEye"
        }
        val angle = atan2(rightEye.y - leftEye.y, rightEye.x - leftEye.x)
        if (angle == 0.0) return image.square(left, top, side)
        val n = round(side).toInt().coerceAtLeast(1)
        // whole numbers are the middles of pixels, so the box's centre lies half a pixel before x + width / 2
        val centre = Place(box.x + box.width / 2 - 0.5, box.y + box.height / 2 - 0.5)
        return turned(image, n, angle, centre, Place(round(left) - centre.x, round(top) - centre.y))
    }

    /** Resize and cut out the middle, without scaling the values. */
    fun pixels(image: RgbImage): RgbImage {
        val resized = Resize.to(image, resize.width, resize.height)
        if (resize == size) return resized
        val (top, left) = (resize.height - size.height) / 2 to (resize.width - size.width) / 2
        val cut = ByteArray(size.height * size.width * RgbImage.CHANNELS)
        for (row in 0 until size.height) {
            val from = ((top + row) * resize.width + left) * RgbImage.CHANNELS
            resized.bytes.copyInto(
                cut,
                row * size.width * RgbImage.CHANNELS,
                from,
                from + size.width * RgbImage.CHANNELS,
            )
        }
        return RgbImage(size.width, size.height, cut)
    }

    /** Turn bytes of 0 to 255 into the model's input, (x / 255 - mean) / std, rows of pixels of three values. */
    fun scale(pixels: RgbImage): FloatArray =
        FloatArray(pixels.bytes.size) {
            val channel = it % RgbImage.CHANNELS
            ((pixels.bytes[it].toInt() and 0xff) / 255f - mean[channel]) / std[channel]
        }

    private fun turned(
        image: RgbImage,
        n: Int,
        angle: Double,
        centre: Place,
        corner: Place,
    ): RgbImage {
        val (cosine, sine) = cos(angle) to sin(angle)
        val cut = ByteArray(n * n * RgbImage.CHANNELS)
        for (row in 0 until n) {
            for (column in 0 until n) {
                val (dx, dy) = corner.x + column to corner.y + row
                val x = centre.x + cosine * dx - sine * dy
                val y = centre.y + sine * dx + cosine * dy
                bilinear(image, x, y, cut, (row * n + column) * RgbImage.CHANNELS)
            }
        }
        return RgbImage(n, n, cut)
    }

    private fun bilinear(
        image: RgbImage,
        x: Double,
        y: Double,
        out: ByteArray,
        at: Int,
    ) {
        val (x0, y0) = floor(x).toInt() to floor(y).toInt()
        val (fx, fy) = x - x0 to y - y0
        for (channel in 0 until RgbImage.CHANNELS) {
            fun value(
                column: Int,
                row: Int,
            ): Int {
                val place = row.coerceIn(0, image.height - 1) * image.width + column.coerceIn(0, image.width - 1)
                return image.bytes[place * RgbImage.CHANNELS + channel].toInt() and 0xff
            }
            val upper = value(x0, y0) * (1 - fx) + value(x0 + 1, y0) * fx
            val lower = value(x0, y0 + 1) * (1 - fx) + value(x0 + 1, y0 + 1) * fx
            out[at + channel] = round(upper * (1 - fy) + lower * fy).toInt().toByte()
        }
    }

    companion object {
        private val FIELDS = setOf("size", "resize", "mean", "std", "face_scale", "face_shift", "aligned")

        /** Read the card's `preprocessing`; a field that this code does not know is refused rather than ignored. */
        internal fun from(json: JSONObject): Preprocessing {
            val unknown = json.keys().asSequence().toSet() - FIELDS
            cardCheck(unknown.isEmpty(), "preprocessing", "only the fields ${FIELDS.sorted()}", unknown)
            return Preprocessing(
                size = size(json, "size"),
                resize = size(json, "resize"),
                mean = numbers(json, "mean"),
                std = numbers(json, "std"),
                faceScale = number(json, "face_scale"),
                faceShift = number(json, "face_shift"),
                aligned =
                    json.opt("aligned") as? Boolean
                        ?: throw CardException.missing("preprocessing.aligned", "true or false"),
            )
        }

        private fun size(
            json: JSONObject,
            name: String,
        ): Size {
            val list = json.optJSONArray(name)
            cardCheck(list != null && list.length() == 2, "preprocessing.$name", "[height, width]", json.opt(name))
            return Size(list!!.getInt(0), list.getInt(1))
        }

        private fun numbers(
            json: JSONObject,
            name: String,
        ): List<Float> {
            val list: JSONArray =
                json.optJSONArray(name) ?: throw CardException.missing("preprocessing.$name", "three numbers")
            return List(list.length()) { list.getDouble(it).toFloat() }
        }

        private fun number(
            json: JSONObject,
            name: String,
        ): Double =
            (json.opt(name) as? Number)?.toDouble() ?: throw CardException.missing("preprocessing.$name", "a number")
    }
}
