package org.kerafer.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import androidx.exifinterface.media.ExifInterface
import org.kerafer.android.turned
import java.io.IOException
import kotlin.math.max

/** Opens pictures that the user chose, upright and not larger than needed. */
object Pictures {
    private const val LONGEST_SIDE = 1600

    /**
     * Open a picture.
     *
     * @throws IOException if it cannot be read, or is no picture.
     */
    fun open(
        resolver: ContentResolver,
        uri: Uri,
    ): Bitmap {
        val content = resolver.openInputStream(uri)?.use { it.readBytes() } ?: throw IOException("nothing at $uri")
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(content, 0, content.size, options)
        options.inSampleSize = 1
        while (max(options.outWidth, options.outHeight) / options.inSampleSize > LONGEST_SIDE) options.inSampleSize *= 2
        options.inJustDecodeBounds = false
        val picture =
            BitmapFactory.decodeByteArray(content, 0, content.size, options) ?: throw IOException("no picture at $uri")
        val stored = ExifInterface(content.inputStream())
        return picture.turned(stored.rotationDegrees, mirrored = stored.isFlipped)
    }
}
