"""What pitched and struck instruments share: placing a note in a stereo stem, and harmonic tones."""

from collections.abc import Callable

import numpy as np

from data_pipelines.embedded.curves import smoothstep


def place(
    out_NC: np.ndarray,
    sample_rate: int,
    start_s: float,
    length_s: float,
    pan: float,
    tone: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Add a note to a stereo stem in place: `tone` maps seconds since the start (n,) to samples (n,).

    The start may fall between two samples. `pan` runs from -1 (left) to 1 (right), with constant power.
    """
    first = int(np.ceil(start_s * sample_rate))
    last = min(int(np.ceil((start_s + length_s) * sample_rate)), len(out_NC))
    if first >= last:
        return
    note_N = tone(np.arange(first, last) / sample_rate - start_s)
    out_NC[first:last] += note_N[:, None] * pan_gains(pan)


def pan_gains(pan: float) -> np.ndarray:
    """Gains (C,) of the left and right channel; their squares add to 1."""
    angle = np.pi / 4 * (1 + pan)
    return np.array([np.cos(angle), np.sin(angle)])


def harmonic_tone(
    times_N: np.ndarray, hz: float, bright_N: np.ndarray, sample_rate: int, turn: float = 0.0
) -> np.ndarray:
    """Harmonics k = 1, 2, … of `hz` with amplitude bright^(k-1), scaled to the power of a sine of amplitude 1.

    The finite sum has a closed form (discrete summation, J. A. Moorer 1976), cut below the Nyquist frequency.
    `bright_N` in (0, 1) may change over time; `turn` shifts the phase of the fundamental, in cycles.
    """
    count = int(0.45 * sample_rate / hz)
    phase_N = 2 * np.pi * (hz * times_N + turn)
    sum_N = np.sin(phase_N) - bright_N**count * np.sin((count + 1) * phase_N)
    sum_N += bright_N ** (count + 1) * np.sin(count * phase_N)
    return sum_N * np.sqrt(1 - bright_N**2) / (1 - 2 * bright_N * np.cos(phase_N) + bright_N**2)


def held(times_N: np.ndarray, length_s: float, attack_s: float, release_s: float) -> np.ndarray:
    """An envelope that rises over the attack and falls over the release, which ends at `length_s`."""
    return smoothstep(times_N / attack_s) * (1 - smoothstep((times_N - length_s) / release_s + 1))
