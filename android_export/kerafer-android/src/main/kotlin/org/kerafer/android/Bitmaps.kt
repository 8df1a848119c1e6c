package org.kerafer.android

import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.Matrix
import org.kerafer.CardException
import org.kerafer.Choice
import org.kerafer.Choices
import org.kerafer.Classifier
import org.kerafer.EngineFactory
import org.kerafer.FaceFinder
import org.kerafer.Golden
import org.kerafer.ModelCard
import org.kerafer.RgbImage
import java.io.IOException

/** This bitmap's pixels, without transparency. */
fun Bitmap.toRgbImage(): RgbImage {
    val pixels = IntArray(width * height)
    getPixels(pixels, 0, width, 0, 0, width, height)
    val bytes = ByteArray(pixels.size * RgbImage.CHANNELS)
    for ((i, pixel) in pixels.withIndex()) {
        bytes[i * RgbImage.CHANNELS] = (pixel shr 16).toByte()
        bytes[i * RgbImage.CHANNELS + 1] = (pixel shr 8).toByte()
        bytes[i * RgbImage.CHANNELS + 2] = pixel.toByte()
    }
    return RgbImage(width, height, bytes)
}

/**
 * This bitmap turned clockwise by a multiple of 90 degrees, as cameras want it.
 *
 * @param mirrored whether left and right are exchanged first, as some cameras store pictures of their user.
 */
fun Bitmap.turned(
    degrees: Int,
    mirrored: Boolean = false,
): Bitmap {
    if (degrees % 360 == 0 && !mirrored) return this
    val turn = Matrix()
    if (mirrored) turn.postScale(-1f, 1f)
    turn.postRotate(degrees.toFloat())
    return Bitmap.createBitmap(this, 0, 0, width, height, turn, false)
}

/**
 * A bundle in an app's assets, as `kerafer export --android` puts it there.
 *
 * @property folder within the assets, such as `kerafer/ean`.
 */
class AssetBundle(
    private val assets: AssetManager,
    val folder: String,
) {
    /** The bundle's name, which `kerafer export --name` gave it. */
    val name: String get() = folder.substringAfterLast('/')

    /** The bundle's card; reading it throws [CardException] where it is wrong. */
    val card: ModelCard by lazy { ModelCard.parse(read("card.json").decodeToString()) }

    /** The bundle's golden vectors. */
    fun golden(): Golden = Golden.parse(read(Golden.FILE).decodeToString(), ::read)

    /**
     * Open the bundle's best file that this device takes.
     *
     * @param choices what to try, in order.
     */
    fun open(
        factory: EngineFactory,
        choices: List<Choice> = Choices.of(card),
    ): Classifier = Classifier.open(card, factory, choices, ::read)

    /** Bytes of one of the bundle's files. */
    fun read(name: String): ByteArray = assets.bytes("$folder/$name")

    companion object {
        private const val ROOT = "kerafer"

        /** All bundles in an app's assets, by name. */
        fun all(assets: AssetManager): List<AssetBundle> =
            assets.list(ROOT).orEmpty().sorted().map { AssetBundle(assets, "$ROOT/$it") }
    }
}

/** Open the face detector that `kerafer export --android` puts into an app's assets, beside the bundles. */
fun openFaceFinder(
    assets: AssetManager,
    factory: EngineFactory,
): FaceFinder = FaceFinder.open(factory) { assets.bytes("kerafer-faces/$it") }

private fun AssetManager.bytes(path: String): ByteArray =
    try {
        open(path).use { it.readBytes() }
    } catch (error: IOException) {
        throw CardException("The assets have no $path (${error.message}). Export a bundle into them again.")
    }
