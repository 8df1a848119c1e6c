package org.kerafer.app

import android.Manifest
import android.content.ActivityNotFoundException
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.os.SystemClock
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ImageView
import android.widget.Spinner
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import org.kerafer.Choice
import org.kerafer.Tolerances
import org.kerafer.android.LiteRtEngines
import org.kerafer.android.openFaceFinder
import java.io.IOException
import java.util.concurrent.Executors

/** The app's only screen: first what it can and cannot tell, then the camera or a picture with its faces. */
class MainActivity : ComponentActivity() {
    private enum class Stage { WELCOME, CAMERA, PICTURE }

    private val worker = Executors.newSingleThreadExecutor()
    private val engines by lazy { LiteRtEngines(cacheDir) }
    private val finder = lazy { openFaceFinder(assets, engines) }
    private val models by lazy { ModelEntry.all(this) }
    private val camera by lazy { Camera(this, find(R.id.preview), worker, ::onCameraPicture, ::say) }
    private val overlay by lazy { find<FaceOverlay>(R.id.overlay) }
    private val status by lazy { find<TextView>(R.id.status) }
    private var stage = Stage.WELCOME
    private var saidAt = 0L
    private var refusedShown = emptyList<String>()

    /** Touched by [worker] alone; [shown] is the picture on the screen, where it is none of the camera's. */
    private var reader: Reader? = null
    private var shown: Bitmap? = null

    private val askForCamera =
        registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
            if (granted) startCamera() else say(getString(R.string.no_camera_permission))
        }
    private val pictures =
        registerForActivityResult(ActivityResultContracts.GetContent()) { uri -> uri?.let(::showPicture) }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        find<Button>(R.id.camera).setOnClickListener { startCamera() }
        find<Button>(R.id.choose).setOnClickListener { choosePicture() }
        find<Button>(R.id.info).setOnClickListener { goTo(Stage.WELCOME) }
        find<Button>(R.id.self_test).setOnClickListener { selfTest() }
        val switcher = find<Spinner>(R.id.models)
        switcher.adapter =
            ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, models.map { it.title })
        switcher.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(
                    parent: AdapterView<*>?,
                    view: View?,
                    position: Int,
                    id: Long,
                ) = open(models[position])

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
        if (models.isEmpty()) say(getString(R.string.no_bundle))
    }

    override fun onDestroy() {
        super.onDestroy()
        camera.stop()
        worker.execute {
            reader?.close()
            if (finder.isInitialized()) finder.value.close()
            engines.close()
        }
        worker.shutdown()
    }

    /** Open a model, show what its card says, and look at the picture on the screen with it. */
    private fun open(model: ModelEntry) {
        setText(R.id.about, "")
        setText(R.id.details, "")
        inBackground {
            reader?.close()
            reader = null
            val about = about(model)
            runOnUiThread { setText(R.id.about, about) }
            val opened = Reader(model, engines, finder.value).also { reader = it }
            val (choice, refused) = opened.classifier.let { it.choice to it.refused }
            runOnUiThread {
                say(describe(choice))
                showRefused(refused)
            }
            readShown()
        }
    }

    /** What the card says of the model's limits: how often it agrees with labels, then its notes. */
    private fun about(model: ModelEntry): String {
        val card = model.bundle.card
        val agreement =
            card.agreements.firstOrNull()?.let {
                getString(R.string.agreement, it.images, it.data, it.split, "%.1f".format(100 * it.accuracy))
            }
        return (listOfNotNull(agreement) + card.notes).joinToString("\n\n")
    }

    private fun startCamera() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            askForCamera.launch(Manifest.permission.CAMERA)
        } else if (stage == Stage.CAMERA) {
            camera.start(!camera.front)
        } else {
            goTo(Stage.CAMERA)
            camera.start()
        }
    }

    private fun choosePicture() =
        try {
            pictures.launch("image/*")
        } catch (_: ActivityNotFoundException) {
            say(getString(R.string.no_pictures))
        }

    private fun showPicture(uri: Uri) {
        inBackground {
            val picture = Pictures.open(contentResolver, uri)
            runOnUiThread { goTo(Stage.PICTURE, picture) }
            shown = picture
            readShown()
        }
    }

    /** On the worker's thread: look at the picture on the screen, if there is one and a model. */
    private fun readShown() {
        val reading = shown?.let { reader?.read(it, inStream = false) } ?: return
        runOnUiThread { if (stage == Stage.PICTURE) show(reading) }
    }

    /** Show what the app can and cannot tell, the camera's preview, or a picture. */
    private fun goTo(
        next: Stage,
        picture: Bitmap? = null,
    ) {
        stage = next
        if (next != Stage.CAMERA) camera.stop()
        if (next != Stage.PICTURE) inBackground { shown = null }
        setVisible(R.id.welcome, next == Stage.WELCOME)
        setVisible(R.id.stage, next != Stage.WELCOME)
        setVisible(R.id.preview, next == Stage.CAMERA)
        setVisible(R.id.picture, next == Stage.PICTURE)
        setVisible(R.id.info, next != Stage.WELCOME)
        find<ImageView>(R.id.picture).setImageBitmap(picture)
        find<Button>(R.id.camera).setText(
            when (next) {
                Stage.WELCOME -> R.string.start_camera
                Stage.CAMERA -> R.string.switch_camera
                Stage.PICTURE -> R.string.back_to_camera
            },
        )
        overlay.show(null)
        setText(R.id.latency, "")
    }

    private fun onCameraPicture(picture: Bitmap) =
        attempt {
            val reading = reader?.read(picture, inStream = true)
            if (reading != null) runOnUiThread { if (stage == Stage.CAMERA) show(reading) }
        }

    private fun show(reading: Reading) {
        val inStream = stage == Stage.CAMERA
        overlay.show(reading, fills = inStream, mirrored = inStream && camera.front)
        val faces = resources.getQuantityString(R.plurals.faces, reading.faces.size, reading.faces.size)
        say(if (reading.faces.isEmpty()) getString(R.string.no_face) else faces, inStream)
        val time = "%.1f".format(reading.milliseconds)
        setText(R.id.latency, getString(R.string.latency, describe(reading.choice), time))
        // a model that failed while it ran has given way to another one
        if (reading.refused != refusedShown) showRefused(reading.refused)
    }

    private fun showRefused(refused: List<String>) {
        refusedShown = refused
        setText(R.id.details, refused.joinToString("\n") { getString(R.string.refused, it) })
    }

    /** Compare this device's numbers with Python's, on the bundle's golden vectors. */
    private fun selfTest() =
        inBackground {
            val opened = checkNotNull(reader) { getString(R.string.no_model) }
            val difference = opened.difference()
            val choice = opened.classifier.choice
            val (found, allowed) = listOf(difference, Tolerances.of(choice)).map { "%.1e".format(it) }
            val text = getString(R.string.self_test_result, found, allowed, describe(choice))
            runOnUiThread { setText(R.id.details, text) }
        }

    private fun describe(choice: Choice) = getString(R.string.runs_on, choice.file.name, choice.accelerator.name)

    /** Show what screen readers say aloud: changes alone, and of a stream's changes at most one a second. */
    private fun say(
        text: String,
        inStream: Boolean = false,
    ) {
        val now = SystemClock.elapsedRealtime()
        if (text == status.text.toString() || (inStream && now - saidAt < SECOND)) return
        status.text = text
        saidAt = now
    }

    private fun inBackground(work: () -> Unit) = worker.execute { attempt(work) }

    /** Do something on the worker's thread, and say what went wrong. */
    private fun attempt(work: () -> Unit) =
        try {
            work()
        } catch (_: IOException) {
            runOnUiThread { say(getString(R.string.unreadable_picture)) }
        } catch (error: Exception) {
            runOnUiThread { say(error.message ?: error.toString()) }
        }

    private fun setText(
        id: Int,
        text: String,
    ) {
        val view = find<TextView>(id)
        if (text != view.text.toString()) view.text = text
        view.visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
    }

    private fun setVisible(
        id: Int,
        visible: Boolean,
    ) {
        find<View>(id).visibility = if (visible) View.VISIBLE else View.GONE
    }

    @Suppress("UNCHECKED_CAST")
    private fun <T : View> find(id: Int): T = (findViewById(id) as View) as T

    private companion object {
        const val SECOND = 1000L
    }
}
