"""Smooth curves over time: nothing here jumps, so a difference in the last bit never grows."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

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


def control_times(seconds: float) -> np.ndarray:
    """Times (J,) in seconds of the control frames, from 0 to just past the end."""
    return np.arange(int(np.ceil(seconds * CONTROL_HZ)) + 2) / CONTROL_HZ


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
