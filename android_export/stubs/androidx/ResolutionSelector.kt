@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.camera.core.resolutionselector

import android.util.Size
import androidx.camera.core.stub

class AspectRatioStrategy private constructor() {
    companion object {
        @JvmField
        val RATIO_4_3_FALLBACK_AUTO_STRATEGY: AspectRatioStrategy = AspectRatioStrategy()
    }
}

class ResolutionStrategy(
    boundSize: Size,
    fallbackRule: Int,
) {
    companion object {
        const val FALLBACK_RULE_CLOSEST_HIGHER_THEN_LOWER = 1
    }
}

class ResolutionSelector private constructor() {
    class Builder {
        fun setAspectRatioStrategy(aspectRatioStrategy: AspectRatioStrategy): Builder = stub()

        fun setResolutionStrategy(resolutionStrategy: ResolutionStrategy): Builder = stub()

        fun build(): ResolutionSelector = stub()
    }
}
