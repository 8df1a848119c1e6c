package org.kerafer

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
 * A bundle's model, ready to classify faces; not safe for several threads at once.
 *
 * It runs the first of its choices that this device takes. Where that one fails later, as GPUs do whose driver gives
 * up, the next takes its place.
 *
 * ```
 * val classifier = Classifier.open(ModelCard.parse(cardText), factory) { name -> readAsset(name) }
 * val probabilities = classifier.classify(picture, faceBox)
 * ```
 *
 * @property card where every number and name comes from.
 */
class Classifier private constructor(
    val card: ModelCard,
    private val golden: Golden,
    private val factory: EngineFactory,
    choices: List<Choice>,
    private val read: (String) -> ByteArray,
) : AutoCloseable {
    private val waiting = ArrayDeque(choices)
    private val reasons = mutableListOf<String>()
    private var engine: Engine? = null

    /** The file that runs, and on what. */
    lateinit var choice: Choice
        private set

    /** Why better choices are not taken, in sentences. */
    val refused: List<String> get() = reasons.toList()

    /**
     * Classify a face of a picture.
     *
     * @param leftEye the eye on the left as the viewer sees it; needed where the card says `aligned`.
     * @throws EngineException if no choice is left that runs.
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
        while (true) {
            val running = engine ?: openNext()
            try {
                return Probabilities(card.labels, run(running, choice.file, pixels))
            } catch (error: EngineException) {
                engine = null
                running.close()
                refuse(choice, error)
            }
        }
    }

    override fun close() {
        waiting.clear()
        engine?.close()
        engine = null
    }

    /** Take the first of the choices that are left and run here. */
    private fun openNext(): Engine {
        while (waiting.isNotEmpty()) {
            val next = waiting.removeFirst()
            val content = read(next.file.name).also(next.file::check)
            try {
                return compile(next, content).also {
                    choice = next
                    engine = it
                }
            } catch (error: EngineException) {
                refuse(next, error)
            }
        }
        throw EngineException("No file of the bundle runs on this device. " + reasons.joinToString("; "))
    }

    /** A driver may accept a model and compute nonsense, so what it gives for a picture must be what Python gave. */
    private fun compile(
        next: Choice,
        content: ByteArray,
    ): Engine {
        val file = next.file
        val compiled = factory.compile(content, file.input, listOf(file.output), next.accelerator)
        try {
            val difference = golden.difference(file.name) { run(compiled, file, it) }
            val allowed = Tolerances.of(next)
            // written so that a difference that is no number is refused too
            if (!(difference <= allowed)) {
                throw EngineException("its probabilities differ from Python's by $difference, more than $allowed")
            }
            return compiled
        } catch (error: Exception) {
            compiled.close()
            throw error
        }
    }

    private fun refuse(
        what: Choice,
        error: EngineException,
    ) {
        reasons += "${what.file.name} on ${what.accelerator}: ${error.message}"
    }

    private fun run(
        engine: Engine,
        file: ModelFile,
        pixels: RgbImage,
    ): FloatArray {
        val outputs = engine.run(Tensors.input(pixels, card.preprocessing, file.input))
        return Tensors.output(outputs.single(), file.output)
    }

    companion object {
        /**
         * Check the bundle's files, and compile the best choice that this device takes: one that gives what Python gave
         * for the first golden vector, within [Tolerances].
         *
         * @param factory compiles for an accelerator.
         * @param choices what to try, in order.
         * @param read returns a file of the bundle by its name.
         * @throws CardException if a file is not the one that the card describes, or the card names its classes in
         * another order than `golden.json`.
         * @throws EngineException if no choice runs; the message says why each does not.
         */
        fun open(
            card: ModelCard,
            factory: EngineFactory,
            choices: List<Choice> = Choices.of(card),
            read: (String) -> ByteArray,
        ): Classifier {
            val golden = Golden.parse(read(Golden.FILE).decodeToString(), read)
            golden.check(card)
            return Classifier(card, golden, factory, choices, read).also { it.openNext() }
        }
    }
}
