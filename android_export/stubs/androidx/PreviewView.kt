@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.camera.view

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout
import androidx.camera.core.Preview
import androidx.camera.core.stub

class PreviewView(
    context: Context,
    attributes: AttributeSet?,
) : FrameLayout(context, attributes) {
    val surfaceProvider: Preview.SurfaceProvider get() = stub()
}
