"""One song as the computation takes it: its references and estimates, cut into blocks."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Song(NamedTuple):
    """References and any number of estimates of them, all of one length."""

    reference_SNC: np.ndarray
    estimate_ESNC: np.ndarray

    @classmethod
    def of(cls, references: np.ndarray, estimates: np.ndarray) -> "Song":
        """Check the arrays.

        Args:
            references: true sources (S, N, C), real samples.
            estimates: (E, S, N, C).

        Raises:
            ValueError: other shapes, or samples that are not finite.
        """
        references, estimates = np.asarray(references), np.asarray(estimates)
        shape = references.shape
        if len(shape) != 3 or 0 in shape or estimates.ndim != 4 or estimates.shape[1:] != shape or not len(estimates):
            raise ValueError(
                f"references of shape {shape} and estimates of shape {estimates.shape[1:]}: expected one shape "
                "(sources, samples, channels) without a zero"
            )
        for name, array in (("references", references), ("estimates", estimates)):
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: found samples that are NaN or infinite, expected finite ones")
        return cls(references, estimates)

    @property
    def samples(self) -> int:
        """Length."""
        return self.reference_SNC.shape[1]

    @property
    def references(self) -> int:
        """Signals of the references: sources · channels."""
        sources, _, channels = self.reference_SNC.shape
        return sources * channels

    @property
    def signals(self) -> int:
        """Signals of references and estimates."""
        return self.references * (1 + len(self.estimate_ESNC))

    def any_source_silent(self, start: int, length: int) -> np.ndarray:
        """Return of which estimates (E,) a source, or its reference, is silent in these samples.

        A source is silent, to museval, where its channels sum to zero at every sample: all zeros, but also two
        channels that are opposite in sign.
        """
        span = slice(start, start + length)
        estimate_silent_E = _silent(self.estimate_ESNC[:, :, span]).any(-1)
        return np.logical_or(estimate_silent_E, _silent(self.reference_SNC[:, span]).any())


def cut(songs: Sequence[Song], starts: Sequence[int], length: int) -> np.ndarray:
    """Return blocks of samples of several songs, zeros before a song's start and beyond its end.

    Args:
        songs: of the same numbers of sources, estimates and channels; their lengths may differ.
        starts: first sample of each block.
        length: of a block, samples.

    Returns:
        (songs B, blocks W, signals A, length), float64: the references' channels, then the estimates', source by
        source.
    """
    block_BWAN = np.zeros((len(songs), len(starts), songs[0].signals, length), np.float64)
    for song, of_song_WAN in zip(songs, block_BWAN, strict=True):
        for start, part_AN in zip(starts, of_song_WAN, strict=True):
            first, end = max(start, 0), min(start + length, song.samples)
            if first < end:
                inside_AN = part_AN[:, first - start : end - start]
                inside_AN[: song.references] = _as_signals(song.reference_SNC[:, first:end])
                inside_AN[song.references :] = _as_signals(song.estimate_ESNC[:, :, first:end])
    return block_BWAN


def _as_signals(x_XNC: np.ndarray) -> np.ndarray:
    return np.moveaxis(x_XNC, -1, -2).reshape(-1, x_XNC.shape[-2])


def _silent(x_XNC: np.ndarray) -> np.ndarray:
    sum_XN = functools.reduce(np.add, np.moveaxis(x_XNC, -1, 0))  # NumPy's sum is slow over so short an axis
    return (sum_XN == 0).all(-1)
