package org.kerafer

import org.json.JSONException
import org.json.JSONObject
import java.security.MessageDigest

/** A card or a file of a bundle that must not be used; the message says what is wrong and what to do. */
class CardException(
    message: String,
) : IllegalArgumentException(message) {
    companion object {
        internal fun missing(
            field: String,
            expected: String,
        ) = CardException("The card's `$field` must be $expected, but is missing. Export the model again.")
    }
}

internal fun cardCheck(
    fine: Boolean,
    field: String,
    expected: String,
    received: Any?,
) {
    if (!fine) {
        throw CardException(
            "The card's `$field` must be $expected. Received: $received. Export the model again.",
        )
    }
}

/** Types of a model's input and output that the recipes of kerafer give. */
enum class TensorType(
    val text: String,
    val bytes: Int,
) {
    FLOAT32("float32", 4),
    UINT8("uint8", 1),
    INT8("int8", 1),
}

/**
 * An input or output as the card describes it.
 *
 * @property scale of quantized values, real = scale * (value - [zeroPoint]); null for floats.
 */
data class TensorInfo(
    val name: String,
    val shape: List<Int>,
    val type: TensorType,
    val scale: Float?,
    val zeroPoint: Int,
)

/**
 * One `.tflite` file of a bundle.
 *
 * @property recipe how it was quantized, such as `float16` or `qat_int8`.
 */
data class ModelFile(
    val name: String,
    val recipe: String,
    val bytes: Long,
    val sha256: String,
    val input: TensorInfo,
    val output: TensorInfo,
) {
    /** Whether integers go in, as the camera gives them; such files are made for the CPU. */
    val takesCameraBytes: Boolean get() = input.type != TensorType.FLOAT32

    /**
     * Refuse a file that is not the one the card describes.
     *
     * @throws CardException if its size or checksum differ.
     */
    fun check(content: ByteArray) = checkContent(name, content, bytes, sha256)
}

internal fun checkContent(
    name: String,
    content: ByteArray,
    bytes: Long,
    sha256: String,
) {
    val found = MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }
    if (content.size.toLong() != bytes || found != sha256) {
        throw CardException(
            "$name must have $bytes bytes and the SHA-256 $sha256. Received: ${content.size} bytes, $found. " +
                "It is damaged, or comes from another export: copy the whole bundle again.",
        )
    }
}

/**
 * How often a model agrees with the labels of a data set's split.
 *
 * @property accuracy 0 to 1.
 */
data class Agreement(
    val data: String,
    val split: String,
    val images: Int,
    val accuracy: Double,
)

/**
 * What an app needs of a bundle's `card.json`: labels, preprocessing and files. It has no default for any of them.
 *
 * @property labels class names in output order.
 * @property agreements what was measured, as the card has it; empty where nothing was.
 * @property notes what a user should know, in sentences.
 */
data class ModelCard(
    val model: String,
    val title: String,
    val weights: String?,
    val labels: List<String>,
    val preprocessing: Preprocessing,
    val files: List<ModelFile>,
    val agreements: List<Agreement>,
    val notes: List<String>,
) {
    /** The file of a recipe, or null. */
    fun file(recipe: String): ModelFile? = files.firstOrNull { it.recipe == recipe }

    companion object {
        /** The version of the card's format that this code understands. */
        const val FORMAT = 1

        /**
         * Read a card.
         *
         * @param text the whole of `card.json`.
         * @throws CardException if it is no card of this format, or contradicts itself.
         */
        fun parse(text: String): ModelCard =
            try {
                read(JSONObject(text))
            } catch (error: JSONException) {
                throw CardException("card.json is damaged: ${error.message}. Export the model again.")
            }

        private fun read(json: JSONObject): ModelCard {
            if (json.opt("format") != FORMAT) {
                throw CardException(
                    "The card must have format $FORMAT. Received: ${json.opt("format")}. " +
                        "Export with the kerafer version that this library belongs to, or update the library.",
                )
            }
            val labels = strings(json, "labels")
            cardCheck(
                labels.size >= 2 && labels.toSet().size == labels.size,
                "labels",
                "two or more different names",
                labels,
            )
            val preprocessing =
                Preprocessing.from(
                    json.optJSONObject("preprocessing") ?: throw CardException.missing("preprocessing", "an object"),
                )
            val described = json.optJSONObject("files") ?: throw CardException.missing("files", "an object")
            val files =
                described
                    .keys()
                    .asSequence()
                    .filter { it.endsWith(".tflite") }
                    .map { file(it, described.getJSONObject(it), labels.size, preprocessing.size) }
                    .toList()
            cardCheck(files.isNotEmpty(), "files", "one or more .tflite files", described.keys().asSequence().toList())
            return ModelCard(
                model = json.getString("model"),
                title = json.getString("title"),
                weights = if (json.isNull("weights")) null else json.getString("weights"),
                labels = labels,
                preprocessing = preprocessing,
                files = files,
                agreements = agreements(json),
                notes = strings(json, "notes"),
            )
        }

        private fun file(
            name: String,
            json: JSONObject,
            classes: Int,
            size: Size,
        ): ModelFile {
            cardCheck('/' !in name && '\\' !in name, "files", "names without folders", name)
            val file =
                ModelFile(
                    name = name,
                    recipe = json.getString("recipe"),
                    bytes = json.getLong("bytes"),
                    sha256 = json.getString("sha256"),
                    input = tensor(json.getJSONObject("input"), "files.$name.input"),
                    output = tensor(json.getJSONObject("output"), "files.$name.output"),
                )
            val input = listOf(1, size.height, size.width, RgbImage.CHANNELS)
            cardCheck(
                file.input.shape == input,
                "files.$name.input.shape",
                "$input, as preprocessing.size says",
                file.input.shape,
            )
            val output = listOf(1, classes)
            cardCheck(
                file.output.shape == output,
                "files.$name.output.shape",
                "$output, one for each label",
                file.output.shape,
            )
            return file
        }

        private fun tensor(
            json: JSONObject,
            field: String,
        ): TensorInfo {
            val text = json.getString("type")
            val type = TensorType.entries.firstOrNull { it.text == text }
            cardCheck(type != null, "$field.type", "one of ${TensorType.entries.map { it.text }}", text)
            val quantized = type != TensorType.FLOAT32
            cardCheck(
                json.has("scale") == quantized,
                "$field.scale",
                if (quantized) "a number" else "absent for floats",
                json.opt("scale"),
            )
            val shape = json.getJSONArray("shape")
            return TensorInfo(
                name = json.getString("name"),
                shape = List(shape.length()) { shape.getInt(it) },
                type = type!!,
                scale = if (quantized) json.getDouble("scale").toFloat() else null,
                zeroPoint = if (quantized) json.getInt("zero_point") else 0,
            )
        }

        /** The card's `results` that are shares of pictures; it may hold other measures, which are left out. */
        private fun agreements(json: JSONObject): List<Agreement> {
            val list = json.optJSONArray("results") ?: return emptyList()
            return List(list.length()) { list.getJSONObject(it) }
                .filter { entry -> listOf("data", "split", "images", "accuracy").all(entry::has) }
                .map { entry ->
                    val (data, split) = entry.getString("data") to entry.getString("split")
                    Agreement(data, split, entry.getInt("images"), entry.getDouble("accuracy"))
                }
        }

        private fun strings(
            json: JSONObject,
            name: String,
        ): List<String> {
            val list = json.optJSONArray(name) ?: throw CardException.missing(name, "a list of names")
            return List(list.length()) { list.getString(it) }
        }
    }
}
