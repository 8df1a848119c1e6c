package org.kerafer.app

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ImageView
import android.widget.Spinner
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.camera.view.PreviewView
import org.kerafer.android.AssetBundle
import org.kerafer.android.LiteRtEngines
import org.kerafer.android.openFaceFinder
import java.io.IOException
import java.util.concurrent.Executors

/** The app's only screen: first what it can and cannot tell, then the camera or a picture with its faces. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val engines by lazy { LiteRtEngines(cacheDir) }
    private val finder by lazy { openFaceFinder(assets, engines) }
    private val bundles by lazy { AssetBundle.all(assets) }
    private val camera by lazy { Camera(this, find(R.id.preview), worker, ::onCameraPicture) }
    private val overlay by lazy { find<FaceOverlay>(R.id.overlay) }
    private val status by lazy { find<TextView>(R.id.status) }

    /** Touched by [worker] alone. */
    private var reader: Reader? = null
    private var stream = true

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        find<Button>(R.id.camera).setOnClickListener { onCameraButton() }
        find<Button>(R.id.choose).setOnClickListener { choosePicture() }
        find<Button>(R.id.self_test).setOnClickListener { selfTest() }
        val models = find<Spinner>(R.id.models)
        models.adapter =
            ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, bundles.map { it.card.title })
        models.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(
                    parent: AdapterView<*>?,
                    view: View?,
                    position: Int,
                    id: Long,
                ) = open()

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
        if (bundles.isEmpty()) status.setText(R.string.no_bundle)
    }

    override fun onDestroy() {
        worker.execute {
            reader?.close()
            engines.close()
        }
        worker.shutdown()
        super.onDestroy()
    }

    /** Open the chosen model anew, for the camera's stream or for single pictures. */
    private fun open() {
        val bundle = bundles.getOrNull(find<Spinner>(R.id.models).selectedItemPosition) ?: return
        val forStream = stream
        inBackground {
            reader?.close()
            reader = null
            reader = Reader(bundle, engines, finder, forStream)
        }
    }

    private fun onCameraButton() {
        val shown =
            find<View>(R.id.preview).visibility == View.VISIBLE && find<View>(R.id.stage).visibility == View.VISIBLE
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), CAMERA_REQUEST)
        } else if (shown) {
            camera.start(!camera.front)
        } else {
            showStage(null)
            camera.start()
        }
    }

    override fun onRequestPermissionsResult(
        request: Int,
        permissions: Array<out String>,
        results: IntArray,
    ) {
        super.onRequestPermissionsResult(request, permissions, results)
        if (results.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            onCameraButton()
        } else {
            status.setText(R.string.no_camera_permission)
        }
    }

    private fun choosePicture() {
        val wanted = Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE)
        @Suppress("DEPRECATION") // its successor wants a library for this alone
        startActivityForResult(wanted, PICTURE_REQUEST)
    }

    @Deprecated("Deprecated in Java")
    override fun onActivityResult(
        request: Int,
        result: Int,
        data: Intent?,
    ) {
        @Suppress("DEPRECATION")
        super.onActivityResult(request, result, data)
        val uri = data?.data
        if (request == PICTURE_REQUEST && result == Activity.RESULT_OK && uri != null) showPicture(uri)
    }

    private fun showPicture(uri: Uri) {
        camera.stop()
        inBackground {
            val picture = Pictures.open(contentResolver, uri)
            runOnUiThread { showStage(picture) }
            reader?.read(picture)?.let { runOnUiThread { show(it, fills = false, mirrored = false) } }
        }
    }

    /** Show the camera's preview, or a picture. */
    private fun showStage(picture: Bitmap?) {
        find<View>(R.id.welcome).visibility = View.GONE
        find<View>(R.id.stage).visibility = View.VISIBLE
        find<View>(R.id.preview).visibility = if (picture == null) View.VISIBLE else View.GONE
        find<ImageView>(R.id.picture).apply {
            visibility = if (picture == null) View.GONE else View.VISIBLE
            setImageBitmap(picture)
        }
        find<Button>(R.id.camera).setText(if (picture == null) R.string.switch_camera else R.string.back_to_camera)
        overlay.show(null)
        if (stream != (picture == null)) {
            stream = picture == null
            open()
        }
    }

    private fun onCameraPicture(picture: Bitmap) {
        val reading = reader?.read(picture) ?: return
        runOnUiThread { if (stream) show(reading, fills = true, mirrored = camera.front) }
    }

    private fun show(
        reading: Reading,
        fills: Boolean,
        mirrored: Boolean,
    ) {
        overlay.show(reading, fills, mirrored)
        val choice = reading.classifier.choice
        val time = "%.1f".format(reading.milliseconds)
        val faces = getString(R.string.faces, reading.faces.size)
        status.text = "$faces · " + getString(R.string.status, choice.file.name, choice.accelerator.name, time)
    }

    /** Compare this device's numbers with Python's, on the bundle's golden vectors. */
    private fun selfTest() {
        val bundle = bundles.getOrNull(find<Spinner>(R.id.models).selectedItemPosition) ?: return
        inBackground {
            val classifier = reader?.classifier ?: return@inBackground
            val difference = "%.1e".format(bundle.golden().difference(classifier))
            val choice = classifier.choice
            val text = getString(R.string.self_test_result, difference, choice.file.name, choice.accelerator.name)
            runOnUiThread { status.text = text }
        }
    }

    /** Do something on the worker's thread, and say what went wrong. */
    private fun inBackground(work: () -> Unit) =
        worker.execute {
            try {
                work()
            } catch (error: IOException) {
                runOnUiThread { status.setText(R.string.unreadable_picture) }
            } catch (error: Exception) {
                runOnUiThread { status.text = error.message }
            }
        }

    @Suppress("UNCHECKED_CAST")
    private fun <T : View> find(id: Int): T = (findViewById(id) as View) as T

    private companion object {
        const val CAMERA_REQUEST = 1
        const val PICTURE_REQUEST = 2
    }
}
