package org.kerafer

import org.json.JSONArray
import org.json.JSONObject
import java.io.File

/** What `make_fixtures.py` wrote: pictures, and what Python makes of them. */
object Fixtures {
    private val folder =
        File(System.getProperty("kerafer.fixtures").orEmpty()).also {
            require(it.resolve("cuts.json").isFile) {
                "-Dkerafer.fixtures must name the folder that make_fixtures.py wrote (android_export/README.md). " +
                    "Received: '$it'"
            }
        }

    /** Names of the bundles. */
    val bundles: List<String> = folder.resolve("bundles").list()!!.sorted()

    /** Text of a bundle's card. */
    fun cardText(bundle: String): String = read(bundle, "card.json").decodeToString()

    /** A bundle's card. */
    fun card(bundle: String): ModelCard = ModelCard.parse(cardText(bundle))

    /** A bundle's golden vectors. */
    fun golden(bundle: String): Golden = Golden.parse(read(bundle, "golden.json").decodeToString()) { read(bundle, it) }

    /** Bytes of a bundle's file. */
    fun read(
        bundle: String,
        name: String,
    ): ByteArray = folder.resolve("bundles").resolve(bundle).resolve(name).readBytes()

    /** The photograph that everything is cut from. */
    val picture: RgbImage by lazy { image(json.getJSONObject("picture")) }

    /** What Python cut out of the photograph, and the bytes that it made of it. */
    val cuts: List<Cut> by lazy { json.getJSONArray("cuts").objects().map(::cut) }

    /** What Python's recognizer says of faces in the photograph, by bundle. */
    fun faces(bundle: String): List<Classified> =
        json.getJSONObject("faces").getJSONArray(bundle).objects().map {
            Classified(box(it.getJSONArray("box")), it.getString("file"), floats(it.getJSONArray("probabilities")))
        }

    /** Pictures, and the faces that Python finds in them. */
    val detected: List<Pair<RgbImage, List<Face>>> by lazy {
        json.getJSONArray("detected").objects().map {
            image(it.getJSONObject("picture")) to it.getJSONArray("faces").objects().map(::detectedFace)
        }
    }

    /** Bytes of a file of the detector. */
    fun readFaces(name: String): ByteArray = folder.resolve("faces").resolve(name).readBytes()

    /** Seconds of a stream's pictures, and the numbers that Python's tracker gives the faces there. */
    val tracked: List<Pair<Double, Map<FaceBox, Int>>> by lazy {
        json.getJSONArray("tracked").objects().map { picture ->
            val faces = picture.getJSONArray("faces").objects()
            picture.getDouble("seconds") to faces.associate { box(it.getJSONArray("box")) to it.getInt("track") }
        }
    }

    /** A model of which the GPU does not take everything. */
    val sixAxes: SixAxes by lazy {
        val value = json.getJSONObject("six_axes")

        fun tensor(name: String): TensorInfo {
            val shape = value.getJSONArray(name).let { s -> List(s.length()) { s.getInt(it) } }
            return TensorInfo(name, shape, TensorType.FLOAT32, null, 0)
        }
        val content = folder.resolve(value.getString("file")).readBytes()
        SixAxes(content, tensor("input"), tensor("output"), value.getDouble("of_ones").toFloat())
    }

    /** @property ofOnes every output where every input is 1. */
    class SixAxes(
        val content: ByteArray,
        val input: TensorInfo,
        val output: TensorInfo,
        val ofOnes: Float,
    )

    class Cut(
        val contract: Preprocessing,
        val box: FaceBox,
        val leftEye: Place?,
        val rightEye: Place?,
        val crop: RgbImage,
        val pixels: RgbImage,
    )

    class Classified(
        val box: FaceBox,
        val file: String,
        val probabilities: FloatArray,
    )

    private val json by lazy { JSONObject(folder.resolve("cuts.json").readText()) }

    private fun cut(value: JSONObject): Cut {
        fun place(name: String) = value.optJSONArray(name)?.let { Place(it.getDouble(0), it.getDouble(1)) }
        val contract = Preprocessing.from(value.getJSONObject("preprocessing"))
        return Cut(
            contract,
            box(value.getJSONArray("box")),
            place("left_eye"),
            place("right_eye"),
            image(value.getJSONObject("crop")),
            image(value.getJSONObject("pixels")),
        )
    }

    private fun detectedFace(value: JSONObject): Face {
        val landmarks = value.getJSONObject("landmarks")
        val places =
            landmarks.keys().asSequence().associateWith { name ->
                landmarks.getJSONArray(name).let { Place(it.getDouble(0), it.getDouble(1)) }
            }
        return Face(box(value.getJSONArray("box")), value.getDouble("confidence"), places)
    }

    private fun image(value: JSONObject) =
        RgbImage(value.getInt("width"), value.getInt("height"), folder.resolve(value.getString("file")).readBytes())

    private fun box(value: JSONArray) =
        FaceBox(value.getDouble(0), value.getDouble(1), value.getDouble(2), value.getDouble(3))

    private fun floats(value: JSONArray) = FloatArray(value.length()) { value.getDouble(it).toFloat() }

    private fun JSONArray.objects() = List(length()) { getJSONObject(it) }
}
