package org.kerafer

import org.json.JSONArray
import org.json.JSONObject
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ModelCardTest {
    private val bundle = Fixtures.bundles.first()

    @Test
    fun `a card holds labels in output order, the contract and the files`() {
        val json = JSONObject(Fixtures.cardText(bundle))
        val card = Fixtures.card(bundle)
        assertEquals(
            List(json.getJSONArray("labels").length()) {
                json.getJSONArray("labels").getString(it)
            },
            card.labels,
        )
        assertEquals(json.getJSONObject("files").keys().asSequence().count { it.endsWith(".tflite") }, card.files.size)
        assertEquals(card.preprocessing.size.width, card.files.first().input.shape[2])
    }

    @Test
    fun `a wrong card is refused, and the message names the field`() {
        refuses("format") { put("format", 2) }
        refuses("labels") { remove("labels") }
        refuses("labels") { put("labels", JSONArray(listOf("happy", "happy"))) }
        refuses("output") { getJSONArray("labels").put("contempt") }
        refuses("preprocessing") { remove("preprocessing") }
        refuses("input") { getJSONObject("preprocessing").put("size", JSONArray(listOf(40, 40))) }
        refuses("std") { getJSONObject("preprocessing").put("std", JSONArray(listOf(1, 0, 1))) }
        refuses("gamma") { getJSONObject("preprocessing").put("gamma", 2.2) }
        refuses("aligned") { getJSONObject("preprocessing").remove("aligned") }
        refuses("files") { put("files", JSONObject()) }
        refuses("type") { firstFile().getJSONObject("input").put("type", "float64") }
        refuses("damaged") { firstFile().remove("sha256") }
    }

    @Test
    fun `what was measured is told, and other measures than shares of pictures are left out`() {
        val json = JSONObject(Fixtures.cardText(bundle))
        val first = json.getJSONArray("results").getJSONObject(0)
        val (data, split) = first.getString("data") to first.getString("split")
        val expected = Agreement(data, split, first.getInt("images"), first.getDouble("accuracy"))
        val measured = JSONArray(listOf(JSONObject().put("data", "x").put("loss", 0.5), first))
        val card = ModelCard.parse(json.put("results", measured).toString())
        assertEquals(listOf(expected), card.agreements)
        json.remove("results")
        assertEquals(emptyList(), ModelCard.parse(json.toString()).agreements)
    }

    @Test
    fun `a text that is no card is refused`() {
        assertContains(assertFailsWith<CardException> { ModelCard.parse("no card") }.message!!, "damaged")
    }

    @Test
    fun `a file of other bytes is refused`() {
        val file = Fixtures.card(bundle).files.first()
        val content = Fixtures.read(bundle, file.name)
        file.check(content)
        content[content.size / 2]++
        assertContains(assertFailsWith<CardException> { file.check(content) }.message!!, file.name)
    }

    private fun JSONObject.firstFile() =
        getJSONObject("files").let { files ->
            files.getJSONObject(files.keys().asSequence().first { it.endsWith(".tflite") })
        }

    private fun refuses(
        field: String,
        change: JSONObject.() -> Unit,
    ) {
        val text = JSONObject(Fixtures.cardText(bundle)).apply(change).toString()
        assertContains(assertFailsWith<CardException>(field) { ModelCard.parse(text) }.message!!, field)
    }
}
