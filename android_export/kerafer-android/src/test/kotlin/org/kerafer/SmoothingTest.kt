package org.kerafer

import kotlin.math.exp
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class SmoothingTest {
    private val first = Probabilities(listOf("a", "b"), floatArrayOf(1f, 0f))
    private val second = Probabilities(listOf("a", "b"), floatArrayOf(0f, 1f))

    @Test
    fun `after its time constant the past counts 1 over e`() {
        val smoothing = Smoothing(0.5)
        assertContentEquals(first.values, smoothing.update(first, 0).values)
        val found = smoothing.update(second, 500_000_000)
        assertEquals(exp(-1.0).toFloat(), found.values[0], 1e-6f)
        assertEquals(1f, found.values.sum(), 1e-6f)
    }

    @Test
    fun `a face that was away starts anew`() {
        val smoothing = Smoothing(0.5, forgetSeconds = 1.0)
        smoothing.update(first, 0)
        assertContentEquals(second.values, smoothing.update(second, 1_500_000_000).values)
    }

    @Test
    fun `no time constant smooths nothing`() {
        val smoothing = Smoothing(0.0)
        smoothing.update(first, 0)
        assertContentEquals(second.values, smoothing.update(second, 10).values)
        assertFailsWith<IllegalArgumentException> { Smoothing(-1.0) }
    }
}
