"""The bass: plucked, low-passed notes on the roots of the chords."""

from collections.abc import Callable

import numpy as np

from data_pipelines.embedded.score import Score
from data_pipelines.embedded.streams import Draws
from data_pipelines.embedded.tones import harmonic_tone, held, hertz, place

#: A bar of bass: (first eighth, length in eighths, semitones above the root).
PATTERNS = (
    tuple((step, 1, 0) for step in range(8)),
    ((0, 3, 0), (3, 1, 0), (4, 2, 7), (6, 2, 12)),
    ((0, 3, 0), (3, 3, 0), (6, 2, 7)),
    ((0, 2, 0), (2, 2, 12), (4, 2, 0), (6, 1, 7), (7, 1, 12)),
    ((0, 4, 0), (4, 3, 0), (7, 1, 7)),
)


def render_bass(draws: Draws, score: Score, samples: int, sample_rate: int) -> np.ndarray:
    """The bass stem (N, 2), in the middle, its fundamentals from 41 to 156 Hz."""
    bass_NC = np.zeros((samples, 2))
    patterns = draws.pick(PATTERNS), draws.pick(PATTERNS)
    bright, fall_s, decay_s = draws.uniform(0.78, 0.88), draws.uniform(0.15, 0.4), draws.uniform(0.6, 1.5)
    for bar, chord in enumerate(score.chords):
        root = 28 + (score.midi(chord) - 28) % 12
        for step, length, above in patterns[bar // 4 % 2]:
            velocity = draws.uniform(0.8, 1.0)
            length_s = length * score.eighth_s * draws.uniform(0.85, 0.98)
            hz = hertz(float(root + above))
            pluck = _pluck(hz, length_s, velocity, bright, fall_s, decay_s, sample_rate)
            place(bass_NC, sample_rate, bar * score.bar_s + step * score.eighth_s, length_s, 0.0, pluck)
    return bass_NC


def _pluck(
    hz: float,
    length_s: float,
    velocity: float,
    bright: float,
    fall_s: float,
    decay_s: float,
    sample_rate: int,
) -> Callable[[np.ndarray], np.ndarray]:
    """A note that dies away in `decay_s` and loses its upper harmonics in `fall_s`."""

    def tone(times_N: np.ndarray) -> np.ndarray:
        bright_N = bright * (0.65 + 0.35 * np.exp(-times_N / fall_s))
        level_N = velocity * held(times_N, length_s, 0.006, 0.03) * np.exp(-times_N / decay_s)
        return level_N * harmonic_tone(times_N, hz, bright_N, sample_rate)

    return tone
