package org.kerafer

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import kotlin.math.abs

/**
 * A bundle's golden vectors: pixels, and the probabilities that Python's runtime gave each file for them. An app that
 * gives the same computes what Python computes.
 *
 * @property labels class names in the order of the probabilities.
 */
class Golden private constructor(
    val labels: List<String>,
    val pixels: List<RgbImage>,
    private val outputs: Map<String, List<FloatArray>>,
) {
    /** What Python gave for a file, a row for each picture. */
    fun expected(file: String): List<FloatArray> =
        outputs[file] ?: throw CardException(
            "golden.json must hold outputs of $file. It has those of ${outputs.keys}: export the bundle again.",
        )

    /**
     * The greatest difference between a classifier's probabilities and Python's for the same file.
     *
     * @throws CardException if the classifier names its classes in another order.
     */
    fun difference(classifier: Classifier): Float {
        check(classifier.card)
        return pixels.indices.maxOf {
            val found = classifier.classifyPixels(pixels[it]).values
            difference(found, expected(classifier.choice.file.name)[it])
        }
    }

    /** The same for the first picture alone, and for what runs a file. */
    internal fun difference(
        file: String,
        classify: (RgbImage) -> FloatArray,
    ): Float = difference(classify(pixels.first()), expected(file).first())

    /**
     * Refuse a card that these vectors do not belong to.
     *
     * @throws CardException if it names its classes in another order, or its model has another size.
     */
    internal fun check(card: ModelCard) {
        if (card.labels != labels) {
            throw CardException(
                "The card's labels must be $labels, as in golden.json. Received: ${card.labels}. " +
                    "One of the two was changed: export the model again.",
            )
        }
        val size = Size(pixels.first().height, pixels.first().width)
        if (card.preprocessing.size != size) {
            throw CardException(
                "The golden inputs must have the card's ${card.preprocessing.size}. Received: $size. " +
                    "One of the two was changed: export the model again.",
            )
        }
    }

    private fun difference(
        found: FloatArray,
        expected: FloatArray,
    ) = found.indices.maxOf { abs(found[it] - expected[it]) }

    companion object {
        /** The file's name in a bundle. */
        const val FILE = "golden.json"

        /**
         * Read `golden.json` and the bytes of the file that it names.
         *
         * @throws CardException if they do not belong together.
         */
        fun parse(
            text: String,
            read: (String) -> ByteArray,
        ): Golden =
            try {
                read(JSONObject(text), read)
            } catch (error: JSONException) {
                throw CardException("golden.json is damaged: ${error.message}. Export the bundle again.")
            }

        private fun read(
            json: JSONObject,
            read: (String) -> ByteArray,
        ): Golden {
            val shape = json.getJSONArray("shape").let { s -> List(s.length()) { s.getInt(it) } }
            val content = read(json.getString("inputs"))
            val fine =
                shape.size == 4 && shape[3] == RgbImage.CHANNELS && shape.all { it > 0 } &&
                    shape.fold(1, Int::times) == content.size
            if (!fine) {
                throw CardException(
                    "The golden inputs must hold $shape bytes. Received: ${content.size}. Export the bundle again.",
                )
            }
            val (count, height, width) = shape
            val step = height * width * RgbImage.CHANNELS
            val pixels = List(count) { RgbImage(width, height, content.copyOfRange(it * step, (it + 1) * step)) }
            val labels = json.getJSONArray("labels").let { l -> List(l.length()) { l.getString(it) } }
            val outputs = json.getJSONObject("outputs")
            val rows =
                outputs.keys().asSequence().associateWith { rows(it, outputs.getJSONArray(it), count, labels.size) }
            return Golden(labels, pixels, rows)
        }

        private fun rows(
            file: String,
            list: JSONArray,
            count: Int,
            classes: Int,
        ): List<FloatArray> {
            val rows =
                List(list.length()) { row ->
                    list.getJSONArray(row).let { r -> FloatArray(r.length()) { r.getDouble(it).toFloat() } }
                }
            if (rows.size != count || rows.any { it.size != classes }) {
                throw CardException(
                    "golden.json must hold $count x $classes outputs of $file. " +
                        "Received: ${rows.map { it.size }} in ${rows.size} rows. Export the bundle again.",
                )
            }
            return rows
        }
    }
}

/**
 * How far probabilities may stray from Python's for the same file: what strays further is no rounding, and
 * [Classifier.open] leaves that choice out. The limits are those of Python's own checks on other processors
 * (docs/verification.md).
 */
object Tolerances {
    /** The greatest allowed difference of a probability. */
    fun of(choice: Choice): Float {
        val step = choice.file.output.scale
        return when {
            step != null -> INTEGER_STEPS * step + DECIMALS
            choice.file.recipe !in FLOAT_RECIPES -> ROUNDED_WEIGHTS
            choice.accelerator == Accelerator.GPU -> FLOAT_GPU
            else -> FLOAT_CPU
        }
    }

    private val FLOAT_RECIPES = listOf("float32", "float16")

    /** Sums in another order. */
    private const val FLOAT_CPU = 1e-4f

    /** GPUs of phones compute in float16, with 11 bits. */
    private const val FLOAT_GPU = 2e-2f

    /** Files whose weights are rounded and whose output is not: some processors round what goes through them too. */
    private const val ROUNDED_WEIGHTS = 5e-2f

    /** Integers that lie in the middle between two steps, once inside and once in the last operator. */
    private const val INTEGER_STEPS = 2

    /** golden.json has seven digits of each number. */
    private const val DECIMALS = 1e-6f
}
