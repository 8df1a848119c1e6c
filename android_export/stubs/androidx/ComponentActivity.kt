// What the app calls of androidx.activity. A method that is overridden there is declared here with the same types, so
// that an app's override which Gradle would refuse is refused here too.
@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.activity

import android.app.Activity
import androidx.activity.result.ActivityResultCallback
import androidx.activity.result.ActivityResultCaller
import androidx.activity.result.ActivityResultLauncher
import androidx.activity.result.contract.ActivityResultContract
import androidx.lifecycle.LifecycleOwner

open class ComponentActivity :
    Activity(),
    LifecycleOwner,
    ActivityResultCaller {
    @Deprecated("Use registerForActivityResult")
    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<String>,
        grantResults: IntArray,
    ): Unit = throw UnsupportedOperationException("androidx.activity is missing in this build")

    final override fun <I, O> registerForActivityResult(
        contract: ActivityResultContract<I, O>,
        callback: ActivityResultCallback<O>,
    ): ActivityResultLauncher<I> = throw UnsupportedOperationException("androidx.activity is missing in this build")
}
