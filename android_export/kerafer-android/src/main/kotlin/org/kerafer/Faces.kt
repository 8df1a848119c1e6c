package org.kerafer

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.sqrt

/**
 * A face that was found in a picture.
 *
 * @property confidence the detector's, 0 to 1.
 * @property landmarks places by name, left as the viewer sees it: `left_eye`, `right_eye`, `nose`, `mouth`.
 */
data class Face(
    val box: FaceBox,
    val confidence: Double,
    val landmarks: Map<String, Place>,
)

/**
 * Finds faces with MediaPipe's BlazeFace networks, as Python's `BlazeFaceDetector` does; not safe for several threads.
 *
 * ```
 * val finder = FaceFinder.open(factory) { name -> readAsset(name) }
 * val faces = finder.find(picture)
 * ```
 */
class FaceFinder private constructor(
    private val card: DetectorCard,
    private val engines: List<Engine>,
) : AutoCloseable {
    private val networks = card.networks.zip(engines).map { (entry, engine) -> BlazeFace(entry, engine) }

    /** Find the faces of an upright picture, the surest first; boxes and places are in whole pixels. */
    fun find(picture: RgbImage): List<Face> {
        val kept = mutableListOf<Candidate>()
        for (network in networks) {
            val found = merged(network.candidates(picture, card.minConfidence), card.overlap)
            kept += found.filter { one -> kept.none { it.isSame(one) } }
        }
        return kept.mapNotNull { whole(it, picture) }.sortedByDescending { it.confidence }
    }

    /** Whole pixels, the box cut at the picture's edges; null where nothing of it is left. */
    private fun whole(
        found: Candidate,
        picture: RgbImage,
    ): Face? {
        val (x, y, w, h) = found.values
        val (left, top) = max(0.0, round(x - w / 2)) to max(0.0, round(y - h / 2))
        val right = min(picture.width.toDouble(), round(x - w / 2 + w))
        val bottom = min(picture.height.toDouble(), round(y - h / 2 + h))
        if (right <= left || bottom <= top) return null
        val places = List(card.points.size) { Place(round(found.values[4 + 2 * it]), round(found.values[5 + 2 * it])) }
        return Face(FaceBox(left, top, right - left, bottom - top), found.score, card.points.zip(places).toMap())
    }

    override fun close() = engines.forEach { it.close() }

    companion object {
        /**
         * Check the networks' files and compile them for the CPU: they are small, and the GPU is the classifier's.
         *
         * @param read returns a file of the detector's folder by its name.
         * @throws CardException if `detector.json` or a file is not what it should be.
         * @throws EngineException if a network does not run here.
         */
        fun open(
            factory: EngineFactory,
            read: (String) -> ByteArray,
        ): FaceFinder {
            val card = DetectorCard.parse(read(DetectorCard.FILE).decodeToString())
            val engines = mutableListOf<Engine>()
            try {
                for (entry in card.networks) {
                    val content = read(entry.file).also(entry::check)
                    engines += factory.compile(content, entry.input, entry.outputs, Accelerator.CPU)
                }
            } catch (error: Exception) {
                engines.forEach { it.close() }
                throw error
            }
            return FaceFinder(card, engines)
        }
    }
}

/** What `detector.json` says. */
internal class DetectorCard(
    val minConfidence: Double,
    val overlap: Double,
    val points: List<String>,
    val networks: List<Network>,
) {
    /** One network and its file; its outputs are boxes, then scores. */
    class Network(
        val file: String,
        private val bytes: Long,
        private val sha256: String,
        val side: Int,
        val contract: Preprocessing,
        val grids: List<Pair<Int, Int>>,
        val boxScale: Double,
        val boxShift: Double,
    ) {
        val anchors = grids.sumOf { (cells, count) -> cells * cells * count }
        val input = TensorInfo("input", listOf(1, side, side, RgbImage.CHANNELS), TensorType.FLOAT32, null, 0)
        val outputs = listOf(VALUES, 1).map { input.copy(name = "output", shape = listOf(1, anchors, it)) }

        /** Refuse a file that is not the one described. */
        fun check(content: ByteArray) = checkContent(file, content, bytes, sha256)
    }

    companion object {
        const val FILE = "detector.json"
        const val POINTS = 6
        const val VALUES = 4 + 2 * POINTS
        private const val FORMAT = 1

        fun parse(text: String): DetectorCard =
            try {
                read(JSONObject(text))
            } catch (error: JSONException) {
                throw CardException("$FILE is damaged: ${error.message}. Export into the assets again.")
            }

        private fun read(json: JSONObject): DetectorCard {
            cardCheck(json.opt("format") == FORMAT, "$FILE format", "$FORMAT", json.opt("format"))
            return DetectorCard(
                json.getDouble("min_confidence"),
                json.getDouble("overlap"),
                json.getJSONArray("points").let { a -> List(a.length()) { a.getString(it) } },
                json.getJSONArray("networks").let { a -> List(a.length()) { network(a.getJSONObject(it)) } },
            )
        }

        private fun network(json: JSONObject): Network {
            fun floats(name: String): List<Float> {
                val list = json.getJSONArray(name)
                return List(list.length()) { list.getDouble(it).toFloat() }
            }
            val side = json.getInt("side")
            val grids: JSONArray = json.getJSONArray("grids")
            return Network(
                json.getString("file"),
                json.getLong("bytes"),
                json.getString("sha256"),
                side,
                Preprocessing(Size(side, side), Size(side, side), floats("mean"), floats("std"), 1.0, 0.0, false),
                List(grids.length()) { grids.getJSONArray(it).let { g -> g.getInt(0) to g.getInt(1) } },
                json.getDouble("box_scale"),
                json.getDouble("box_shift"),
            )
        }
    }
}

/** Middle, sides and points of a possible face in the picture's pixels: x, y, width, height, then x and y of each. */
internal class Candidate(
    val values: DoubleArray,
    val score: Double,
) {
    /** Intersection over union. */
    fun overlap(other: Candidate): Double {
        val shared = (0..1).map { max(0.0, min(high(it), other.high(it)) - max(low(it), other.low(it))) }
        val both = shared[0] * shared[1]
        return both / (values[2] * values[3] + other.values[2] * other.values[3] - both)
    }

    /** Whether the middle of one box lies in the other; the sizes of two networks' boxes may differ. */
    fun isSame(other: Candidate) = holds(other) || other.holds(this)

    private fun holds(other: Candidate) =
        (0..1).all { kotlin.math.abs(values[it] - other.values[it]) < values[it + 2] / 2 }

    private fun low(axis: Int) = values[axis] - values[axis + 2] / 2

    private fun high(axis: Int) = values[axis] + values[axis + 2] / 2
}

/** One candidate for each face: the mean of those that overlap with the surest, weighted by their scores. */
internal fun merged(
    found: List<Candidate>,
    limit: Double,
): List<Candidate> {
    var rest = found.sortedByDescending { it.score }
    val faces = mutableListOf<Candidate>()
    while (rest.isNotEmpty()) {
        val best = rest.first()
        val (same, others) = rest.partition { it === best || best.overlap(it) > limit }
        val total = same.sumOf { it.score }
        val mean = DoubleArray(best.values.size) { i -> same.sumOf { it.values[i] * it.score } / total }
        faces += Candidate(mean, best.score)
        rest = others
    }
    return faces
}

/** One network with the places that its outputs are relative to. */
private class BlazeFace(
    private val entry: DetectorCard.Network,
    private val engine: Engine,
) {
    /** Middles of the cells of each grid, row after row, each as often as the grid has anchors there. */
    private val anchors =
        entry.grids.flatMap { (cells, count) ->
            List(cells * cells * count) {
                val cell = it / count
                Place((cell % cells + 0.5) / cells, (cell / cells + 0.5) / cells)
            }
        }

    /** All that is sure enough, boxes as MTCNN would frame a face. */
    fun candidates(
        picture: RgbImage,
        minConfidence: Double,
    ): List<Candidate> {
        // the picture as large as it fits, in the middle of a black square
        val side = entry.side
        val fit = side.toDouble() / max(picture.width, picture.height)
        val columns = round(picture.width * fit).toInt().coerceAtLeast(1)
        val rows = round(picture.height * fit).toInt().coerceAtLeast(1)
        val (left, top) = (side - columns) / 2 to (side - rows) / 2
        val square = Resize.to(picture, columns, rows).within(left, top, side, side)
        val (boxes, logits) = engine.run(Tensors.input(square, entry.contract, entry.input)).map(::floats)
        val (across, down) = picture.width.toDouble() / columns to picture.height.toDouble() / rows
        val found = mutableListOf<Candidate>()
        for ((i, anchor) in anchors.withIndex()) {
            val score = 1 / (1 + exp(-logits[i].toDouble().coerceIn(-LARGE, LARGE)))
            if (score < minConfidence) continue
            val values = DoubleArray(DetectorCard.VALUES)
            for (k in values.indices) {
                val given = boxes[i * values.size + k].toDouble()
                val (at, offset, unit) =
                    if (k % 2 == 0) Triple(anchor.x, left, across) else Triple(anchor.y, top, down)
                values[k] = if (k == 2 || k == 3) given * unit else ((given / side + at) * side - offset) * unit
            }
            values[1] += entry.boxShift * sqrt(max(0.0, values[2] * values[3]))
            values[2] *= entry.boxScale
            values[3] *= entry.boxScale
            found += Candidate(values, score)
        }
        return found
    }

    private fun floats(buffer: ByteBuffer): FloatArray {
        val values = buffer.order(ByteOrder.nativeOrder()).also { it.rewind() }.asFloatBuffer()
        return FloatArray(values.remaining()).also { values.get(it) }
    }

    private companion object {
        const val LARGE = 80.0
    }
}
