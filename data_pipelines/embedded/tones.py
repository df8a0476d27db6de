"""What all parts share: random numbers, placing notes in a stereo stem, harmonic tones, smooth curves, filters.

Random numbers are the same on every machine and for every NumPy version.

No curve jumps, so a difference in the last bit never grows; filters keep their place at every sample rate that reaches
there.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.signal import butter

from data_pipelines.songs.tracks import Split

Option = TypeVar("Option")


class Draws:
    """One stream of random numbers for one part of one song.

    The SHA-256 of "seed/split/index/part", read as eight big-endian 32-bit words, seeds a `RandomState`,
    whose streams NumPy has frozen. Everything is made of its uniform doubles alone: its integers depend on
    the platform's C long, and its normal deviates on the platform's logarithm.
    """

    def __init__(self, seed: int, split: Split, index: int, part: str):
        self._song = seed, split, index, part
        digest = hashlib.sha256(f"{seed}/{split}/{index}/{part}".encode()).digest()
        self._state = np.random.RandomState(np.frombuffer(digest, ">u4").astype(np.uint32))

    def uniform(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + (high - low) * float(self._state.random_sample())

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.uniform(0, 1) < probability

    def pick(self, options: Sequence[Option]) -> Option:
        """One of the options, all equally likely."""
        return options[int(self.uniform(0, len(options)))]

    def in_turn(self, options: Sequence[Option]) -> Option:
        """One of the n options, such that each is that of one song in n: of those from 0 on, from n on, and so on."""
        seed, split, index, part = self._song
        turns = Draws(seed, split, index // len(options), f"{part}, {len(options)} in turn").uniforms(
            0, 1, len(options)
        )
        return options[int(np.argsort(turns)[index % len(options)])]

    def uniforms(self, low: float, high: float, count: int) -> np.ndarray:
        """Several numbers from low to high, shape (count,)."""
        return low + (high - low) * self._state.random_sample(count)

    def noise(self, samples: int, sample_rate: int) -> np.ndarray:
        """White noise (N,) whose power per Hz is the same at every sample rate; of unit power at 44.1 kHz."""
        return self.uniforms(-1, 1, samples) * np.sqrt(3 * sample_rate / 44100)


#: A note: from seconds since its start (n,) to samples (n,).
Tone = Callable[[np.ndarray], np.ndarray]


def place(out_NC: np.ndarray, sample_rate: int, start_s: float, length_s: float, pan: float, tone: Tone) -> None:
    """Add a note to a stereo stem in place.

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


Pitch = TypeVar("Pitch", float, np.ndarray)

#: Control frames per second, at every sample rate.
CONTROL_HZ = 250


class Point(NamedTuple):
    """A curve moves to `value` through a glide of `width_s` seconds centred on `time_s`."""

    time_s: float
    value: float
    width_s: float


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a cubic between with zero slope at both ends."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def glide(times_J: np.ndarray, start: float, points: Sequence[Point]) -> np.ndarray:
    """A curve (J,) that begins at `start` and moves to each point's value in turn."""
    curve_J = np.full(times_J.shape, float(start))
    previous = start
    for point in points:
        step_J = smoothstep((times_J - point.time_s) / point.width_s + 0.5)
        curve_J += (point.value - previous) * step_J
        previous = point.value
    return curve_J


def to_samples(curve_J: np.ndarray, samples: int, sample_rate: int) -> np.ndarray:
    """A control curve read at every sample (N,), linearly between its frames."""
    return np.interp(np.arange(samples) * (CONTROL_HZ / sample_rate), np.arange(len(curve_J)), curve_J)


def taper(frequency: np.ndarray, ceiling_hz: float) -> np.ndarray:
    """Weight of a partial by its frequency: 1 up to 80 % of the ceiling, then smoothly down to 0 at it."""
    return 1 - smoothstep((frequency / ceiling_hz - 0.8) / 0.2)


def hertz(midi: Pitch) -> Pitch:
    """Frequency of a MIDI note number (69 is 440 Hz)."""
    return 440 * 2 ** ((midi - 69) / 12)


def band_pass(low_hz: float, high_hz: float, sample_rate: int) -> np.ndarray:
    """Second-order sections of a Butterworth band-pass; at a low sample rate its edges (Hz) move down."""
    high_hz = min(high_hz, 0.45 * sample_rate)
    low_hz = min(low_hz, 0.7 * high_hz)
    return butter(2, [low_hz, high_hz], "bandpass", fs=sample_rate, output="sos")
