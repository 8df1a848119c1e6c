package org.kerafer

import kotlin.math.abs

/**
 * Probabilities of a face's expressions, in the order of the card's labels.
 *
 * @property labels class names.
 * @property values as many probabilities, which sum to 1.
 */
class Probabilities(
    val labels: List<String>,
    val values: FloatArray,
) {
    init {
        require(values.size == labels.size) { "There must be ${labels.size} probabilities. Received: ${values.size}" }
    }

    /** Index of the most probable class. */
    val best: Int get() = values.indices.maxBy { values[it] }

    /** Name of the most probable class. */
    val label: String get() = labels[best]

    override fun toString() =
        labels.zip(values.toList()).joinToString { (label, value) ->
            "%s %.3f".format(label, value)
        }
}

/**
 * A bundle's model, ready to classify faces.
 *
 * ```
 * val classifier = Classifier.open(ModelCard.parse(cardText), factory) { name -> readAsset(name) }
 * val probabilities = classifier.classify(picture, faceBox)
 * ```
 *
 * @property card where every number and name comes from.
 * @property choice the file that runs, and on what.
 * @property refused why better choices were not taken, in sentences.
 */
class Classifier private constructor(
    val card: ModelCard,
    val choice: Choice,
    val refused: List<String>,
    private val engine: Engine,
) : AutoCloseable {
    /**
     * Classify a face of a picture.
     *
     * @param leftEye the eye on the left as the viewer sees it; needed where the card says `aligned`.
     */
    fun classify(
        image: RgbImage,
        box: FaceBox,
        leftEye: Place? = null,
        rightEye: Place? = null,
    ): Probabilities = classifyFace(card.preprocessing.cropFace(image, box, leftEye, rightEye))

    /** Classify a face that was found in a picture. */
    fun classify(
        image: RgbImage,
        face: Face,
    ): Probabilities = classify(image, face.box, face.landmarks["left_eye"], face.landmarks["right_eye"])

    /** Classify a picture that holds one face and little else, of any size. */
    fun classifyFace(face: RgbImage): Probabilities = classifyPixels(card.preprocessing.pixels(face))

    /** Classify pixels of the model's own size. */
    fun classifyPixels(pixels: RgbImage): Probabilities {
        val size = card.preprocessing.size
        require(pixels.height == size.height && pixels.width == size.width) {
            "The model wants ${size.width} x ${size.height} pixels. Received: ${pixels.width} x ${pixels.height}"
        }
        return Probabilities(card.labels, run(engine, choice.file, card, pixels))
    }

    override fun close() = engine.close()

    companion object {
        /**
         * Check the bundle's files, and compile the best choice that this device takes.
         *
         * @param factory compiles for an accelerator.
         * @param choices what to try, in order.
         * @param read returns a file of the bundle by its name.
         * @throws CardException if a file is not the one that the card describes.
         * @throws EngineException if no choice runs; the message says why each does not.
         */
        fun open(
            card: ModelCard,
            factory: EngineFactory,
            choices: List<Choice> = Choices.of(card),
            read: (String) -> ByteArray,
        ): Classifier {
            val refused = mutableListOf<String>()
            for (choice in choices) {
                val content = read(choice.file.name).also(choice.file::check)
                try {
                    val engine =
                        factory.compile(
                            content,
                            choice.file.input,
                            listOf(choice.file.output),
                            choice.accelerator,
                        )
                    try {
                        probe(engine, choice.file, card)
                    } catch (error: EngineException) {
                        engine.close()
                        throw error
                    }
                    return Classifier(card, choice, refused, engine)
                } catch (error: EngineException) {
                    refused += "${choice.file.name} on ${choice.accelerator}: ${error.message}"
                }
            }
            throw EngineException("No file of the bundle runs on this device. " + refused.joinToString("; "))
        }

        /** A driver may accept a model and compute nonsense: what it gives for a gray picture must be probabilities. */
        private fun probe(
            engine: Engine,
            file: ModelFile,
            card: ModelCard,
        ) {
            val size = card.preprocessing.size
            val gray = ByteArray(size.height * size.width * RgbImage.CHANNELS) { 127 }
            val values = run(engine, file, card, RgbImage(size.width, size.height, gray))
            val sum = values.sum()
            if (values.any { !(it in -SLACK..1 + SLACK) } || abs(sum - 1) > SLACK) {
                throw EngineException("the output is no probabilities: ${values.toList()}, which sum to $sum")
            }
        }

        private fun run(
            engine: Engine,
            file: ModelFile,
            card: ModelCard,
            pixels: RgbImage,
        ): FloatArray {
            val outputs = engine.run(Tensors.input(pixels, card.preprocessing, file.input))
            return Tensors.output(outputs.single(), file.output)
        }

        /** Integer outputs have steps of 1/256 each. */
        private const val SLACK = 0.03f
    }
}
