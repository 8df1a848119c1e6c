@file:Suppress("UNUSED_PARAMETER", "unused")

package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.core.BaseOptions

private fun stub(): Nothing = throw UnsupportedOperationException("MediaPipe's artifact is missing in this build")

class Category {
    fun categoryName(): String = stub()

    fun score(): Float = stub()
}

class Classifications {
    fun categories(): List<Category> = stub()
}

class ClassificationResult {
    fun classifications(): List<Classifications> = stub()
}

class ImageClassifierResult {
    fun classificationResult(): ClassificationResult = stub()
}

class ImageClassifier private constructor() : AutoCloseable {
    fun classify(image: MPImage): ImageClassifierResult = stub()

    override fun close(): Unit = stub()

    class ImageClassifierOptions private constructor() {
        class Builder {
            fun setBaseOptions(options: BaseOptions): Builder = stub()

            fun build(): ImageClassifierOptions = stub()
        }

        companion object {
            @JvmStatic
            fun builder(): Builder = stub()
        }
    }

    companion object {
        @JvmStatic
        fun createFromOptions(
            context: Context,
            options: ImageClassifierOptions,
        ): ImageClassifier = stub()
    }
}
