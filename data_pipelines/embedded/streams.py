"""Random numbers that are the same on every machine and for every NumPy version."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from data_pipelines.songs.tracks import Split

Option = TypeVar("Option")


class Draws:
    """One stream of random numbers for one part of one song.

    The SHA-256 of "seed/split/index/part", read as eight big-endian 32-bit words, seeds a `RandomState`,
    whose streams NumPy has frozen. Everything is made of its uniform doubles alone: its integers depend on
    the platform's C long, and its normal deviates on the platform's logarithm.
    """

    def __init__(self, seed: int, split: Split, index: int, part: str):
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

    def uniforms(self, low: float, high: float, count: int) -> np.ndarray:
        """Several numbers from low to high, shape (count,)."""
        return low + (high - low) * self._state.random_sample(count)

    def noise(self, samples: int, sample_rate: int) -> np.ndarray:
        """White noise (N,) whose power per Hz is the same at every sample rate; of unit power at 44.1 kHz."""
        return self.uniforms(-1, 1, samples) * np.sqrt(3 * sample_rate / 44100)
