package org.kerafer

import kotlin.math.exp

/**
 * Probabilities of a face in a video, smoothed over time, so that bars do not flicker.
 *
 * Exponential: after [seconds], what was seen before counts 1/e. One of these follows one face; after [forgetSeconds]
 * without it, it starts anew.
 *
 * @property seconds time constant; 0 smooths nothing.
 */
class Smoothing(
    val seconds: Double,
    val forgetSeconds: Double = 1.0,
) {
    private var kept: FloatArray? = null
    private var last = 0L

    init {
        require(seconds >= 0 && forgetSeconds > 0) {
            "`seconds` must be 0 or more, `forgetSeconds` above 0. Received: $seconds and $forgetSeconds"
        }
    }

    /**
     * Take in what was seen, and return the smoothed probabilities.
     *
     * @param nanoseconds when the picture was taken, on a clock that does not go back.
     */
    fun update(
        seen: Probabilities,
        nanoseconds: Long,
    ): Probabilities {
        val before = kept
        val passed = (nanoseconds - last) / 1e9
        last = nanoseconds
        val share = if (seconds == 0.0) 0f else exp(-passed / seconds).toFloat()
        val fresh = before == null || before.size != seen.values.size || passed !in 0.0..forgetSeconds
        val values =
            if (fresh) {
                seen.values.copyOf()
            } else {
                FloatArray(before.size) { share * before[it] + (1 - share) * seen.values[it] }
            }
        kept = values
        return Probabilities(seen.labels, values)
    }
}
