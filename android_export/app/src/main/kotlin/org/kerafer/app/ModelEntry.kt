package org.kerafer.app

import android.content.Context
import org.kerafer.CardException
import org.kerafer.Choice
import org.kerafer.Choices
import org.kerafer.Classifier
import org.kerafer.EngineFactory
import org.kerafer.android.AssetBundle

/**
 * An entry of the model switcher: a bundle's best file on what this device has, or one file on one accelerator.
 *
 * @property title what the switcher shows.
 */
class ModelEntry private constructor(
    val bundle: AssetBundle,
    val title: String,
    private val choice: Choice?,
) {
    /** Open it; a file that was chosen is not replaced by another one where it fails. */
    fun open(factory: EngineFactory): Classifier =
        if (choice == null) bundle.open(factory) else bundle.open(factory, listOf(choice))

    companion object {
        /** All entries; a bundle with a wrong card has one, and opening that says what is wrong. */
        fun all(context: Context): List<ModelEntry> = AssetBundle.all(context.assets).flatMap { entries(context, it) }

        private fun entries(
            context: Context,
            bundle: AssetBundle,
        ): List<ModelEntry> =
            try {
                val automatic = ModelEntry(bundle, context.getString(R.string.automatic, bundle.name), null)
                listOf(automatic) + Choices.of(bundle.card).map { ModelEntry(bundle, title(context, bundle, it), it) }
            } catch (_: CardException) {
                listOf(ModelEntry(bundle, context.getString(R.string.damaged, bundle.name), null))
            }

        private fun title(
            context: Context,
            bundle: AssetBundle,
            choice: Choice,
        ) = context.getString(R.string.choice, bundle.name, choice.file.recipe, choice.accelerator.name)
    }
}
