package org.kerafer

import org.json.JSONObject

/**
 * A bundle's golden vectors: pixels, and the probabilities that Python's runtime gave each file for them. An app that
 * gives the same computes what Python computes.
 *
 * @property labels class names in the order of the probabilities.
 */
class Golden(
    val labels: List<String>,
    val pixels: List<RgbImage>,
    private val outputs: JSONObject,
) {
    /** What Python gave for a file, a row for each picture. */
    fun expected(file: String): List<FloatArray> {
        val rows =
            outputs.optJSONArray(file) ?: throw CardException.missing("golden.outputs.$file", "a row for each picture")
        return List(rows.length()) { row ->
            rows.getJSONArray(row).let { r ->
                FloatArray(r.length()) { r.getDouble(it).toFloat() }
            }
        }
    }

    /**
     * The greatest difference between a classifier's probabilities and Python's for the same file.
     *
     * @throws CardException if the classifier names its classes in another order.
     */
    fun difference(classifier: Classifier): Float {
        if (classifier.card.labels != labels) {
            throw CardException(
                "The card's labels must be $labels, as in golden.json. Received: ${classifier.card.labels}. " +
                    "One of the two was changed: export the model again.",
            )
        }
        val expected = expected(classifier.choice.file.name)
        return pixels.indices.maxOf { picture ->
            val found = classifier.classifyPixels(pixels[picture]).values
            found.indices.maxOf { kotlin.math.abs(found[it] - expected[picture][it]) }
        }
    }

    companion object {
        /**
         * Read `golden.json` and the bytes of the file that it names.
         *
         * @throws CardException if they do not belong together.
         */
        fun parse(
            text: String,
            read: (String) -> ByteArray,
        ): Golden {
            val json = JSONObject(text)
            val shape = json.getJSONArray("shape").let { s -> List(s.length()) { s.getInt(it) } }
            val content = read(json.getString("inputs"))
            val fine = shape.size == 4 && shape[3] == RgbImage.CHANNELS && shape.fold(1, Int::times) == content.size
            if (!fine) {
                throw CardException(
                    "The golden inputs must hold $shape bytes. Received: ${content.size}. Export the bundle again.",
                )
            }
            val (count, height, width) = shape
            val step = height * width * RgbImage.CHANNELS
            val pixels = List(count) { RgbImage(width, height, content.copyOfRange(it * step, (it + 1) * step)) }
            val labels = json.getJSONArray("labels").let { l -> List(l.length()) { l.getString(it) } }
            return Golden(labels, pixels, json.getJSONObject("outputs"))
        }
    }
}
