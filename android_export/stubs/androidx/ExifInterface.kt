@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.exifinterface.media

import java.io.InputStream

private fun stub(): Nothing = throw UnsupportedOperationException("androidx.exifinterface is missing in this build")

class ExifInterface(
    inputStream: InputStream,
) {
    val rotationDegrees: Int get() = stub()

    val isFlipped: Boolean get() = stub()
}
