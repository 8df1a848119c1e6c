@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.exifinterface.media

import java.io.InputStream

class ExifInterface(
    stream: InputStream,
) {
    val rotationDegrees: Int get() = throw UnsupportedOperationException(
        "androidx.exifinterface is missing in this build",
    )
}
