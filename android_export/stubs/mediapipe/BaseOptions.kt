@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mediapipe.tasks.core

private fun stub(): Nothing = throw UnsupportedOperationException("MediaPipe's artifact is missing in this build")

class BaseOptions private constructor() {
    class Builder {
        fun setModelAssetPath(path: String): Builder = stub()

        fun build(): BaseOptions = stub()
    }

    companion object {
        @JvmStatic
        fun builder(): Builder = stub()
    }
}
