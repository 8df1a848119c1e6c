package org.kerafer.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import kotlin.math.max
import kotlin.math.min
import kotlin.math.roundToInt

/** Draws a frame around each face, and its probabilities as bars; says the same to those who listen. */
class FaceOverlay
    @JvmOverloads
    constructor(
        context: Context,
        attributes: AttributeSet? = null,
    ) : View(context, attributes) {
        private val density = resources.displayMetrics.density

        /** A light line on a dark one is seen on every picture. */
        private val frames = listOf(Color.BLACK to 5, Color.WHITE to 2).map { (color, width) -> line(color, width) }
        private val plate = Paint().apply { color = Color.argb(170, 0, 0, 0) }

        /** Dark enough for white text, at a contrast of 6.6 to 1. */
        private val bar = Paint().apply { color = Color.rgb(0, 105, 92) }
        private val text =
            Paint(Paint.ANTI_ALIAS_FLAG).apply {
                color = Color.WHITE
                textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 13f, resources.displayMetrics)
            }
        private val names = mutableMapOf<String, String>()
        private var reading: Reading? = null
        private var fills = false
        private var mirrored = false

        /**
         * Show a reading, or nothing.
         *
         * @param fills whether the picture below fills the view and is cut, or fits into it.
         * @param mirrored whether it is shown as in a mirror.
         */
        fun show(
            reading: Reading?,
            fills: Boolean = false,
            mirrored: Boolean = false,
        ) {
            this.reading = reading
            this.fills = fills
            this.mirrored = mirrored
            contentDescription = reading?.let(::description)
            invalidate()
        }

        private fun description(reading: Reading): String {
            if (reading.faces.isEmpty()) return context.getString(R.string.no_face)
            return reading.faces
                .mapIndexed { i, face ->
                    val best = face.probabilities.best
                    val words = context.getString(R.string.probability, label(face, best), percent(face, best))
                    context.getString(R.string.face_description, i + 1, words)
                }.joinToString()
        }

        override fun onDraw(canvas: Canvas) {
            val shown = reading ?: return
            val scales = listOf(width.toFloat() / shown.width, height.toFloat() / shown.height)
            val scale = if (fills) scales.max() else scales.min()
            val (left, top) = (width - shown.width * scale) / 2 to (height - shown.height * scale) / 2
            for (face in shown.faces) {
                val box = face.face.box
                val x = if (mirrored) shown.width - box.x - box.width else box.x
                val place =
                    RectF(
                        left + (x * scale).toFloat(),
                        top + (box.y * scale).toFloat(),
                        left + ((x + box.width) * scale).toFloat(),
                        top + ((box.y + box.height) * scale).toFloat(),
                    )
                frames.forEach { canvas.drawRect(place, it) }
                bars(canvas, face, place)
            }
        }

        private fun bars(
            canvas: Canvas,
            face: ReadFace,
            place: RectF,
        ) {
            val labels = face.probabilities.labels
            val row = text.textSize * 1.3f
            val size = 150 * density to row * labels.size + 8 * density
            val x = max(0f, min(place.left, width - size.first))
            val y = max(0f, min(place.bottom + 4 * density, height - size.second))
            canvas.drawRect(x, y, x + size.first, y + size.second, plate)
            for (i in labels.indices) {
                val base = y + 4 * density + row * i
                canvas.drawRect(x, base, x + size.first * face.probabilities.values[i], base + row * 0.9f, bar)
                val words = context.getString(R.string.probability, label(face, i), percent(face, i))
                canvas.drawText(words, x + 6 * density, base + row * 0.7f, text)
            }
        }

        /** The card's name of a class, in the user's language where the app has a word for it. */
        private fun label(
            face: ReadFace,
            index: Int,
        ): String =
            names.getOrPut(face.probabilities.labels[index]) {
                val name = face.probabilities.labels[index]
                val id = resources.getIdentifier("label_$name", "string", context.packageName)
                if (id == 0) name else context.getString(id)
            }

        private fun line(
            color: Int,
            width: Int,
        ) = Paint().apply {
            style = Paint.Style.STROKE
            strokeWidth = width * density
            this.color = color
        }

        private fun percent(
            face: ReadFace,
            index: Int,
        ) = (100 * face.probabilities.values[index]).roundToInt()
    }
