"""One song as the computation takes it: its references and estimates, cut into blocks, and where its windows are."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def as_samples(name: str, signals: ArrayLike) -> Any:
    """Return samples in floating point, of 32 bits at least; what is not JAX's becomes an array of NumPy.

    Integers of 16 and 32 bits are those of sound files: their full scale becomes ±1.

    Raises:
        ValueError: samples of any other kind; `name` says whose.
    """
    try:
        array = signals if isinstance(signals, jax.Array) else np.asarray(signals)
    except ValueError:
        raise ValueError(f"{name}: found lists of different lengths, expected an array of samples") from None
    kind = array.dtype
    if kind in (np.int16, np.int32):
        return array.astype(np.float32) / np.float32(2.0 ** (8 * kind.itemsize - 1))
    if not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(f"{name}: found samples of kind {kind}, expected floating point, int16 or int32")
    wide = jnp.promote_types(kind, np.float32)
    return array if kind == wide else array.astype(wide)


#: Of the distortion filters, as museval and mir_eval have them.
FILTER_TAPS = 512


def median(values: Sequence[float] | np.ndarray) -> float:
    """Return the median of the values that are not NaN; NaN, without NumPy's warning, where there are none."""
    values = np.asarray(values, np.float64)
    valid = values[~np.isnan(values)]
    return float(np.median(valid)) if valid.size else math.nan


#: Which are no sign of another order of the axes, however short the song is.
_FEW_SOURCES = 4


def check_shapes(references: tuple[int, ...], estimates: tuple[int, ...]) -> None:
    """Raise ValueError where these are not one shape (S, N, C), or can only be one whose axes are in another order."""
    if len(references) != 3 or 0 in references or estimates != references:
        raise ValueError(
            f"references of shape {references} and estimates of shape {estimates}: expected one shape "
            "(sources, samples, channels) without a zero"
        )
    sources, samples, channels = references
    if samples < channels or max(samples, _FEW_SOURCES) < sources:
        raise ValueError(
            f"references of shape {references}: found fewer samples than sources or channels, expected "
            "(sources, samples, channels)"
        )


class Song(NamedTuple):
    """References and any number of estimates of them, all of one length."""

    reference_SNC: np.ndarray
    estimate_ESNC: np.ndarray

    @classmethod
    def of(cls, references: np.ndarray, estimates: np.ndarray) -> "Song":
        """Check true sources (S, N, C) and estimates (E, S, N, C); samples are as `as_samples` takes them.

        Raises:
            ValueError: other shapes, more sources or channels than samples, as arrays have whose axes are in another
                order, or samples of another kind or that are not finite.
        """
        references = np.asarray(as_samples("references", references))
        estimates = np.asarray(as_samples("estimates", estimates))
        check_shapes(references.shape, estimates.shape[1:] if estimates.size else ())
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

    def silent(self, windows: "Windows") -> np.ndarray:
        """Return in which windows a source of an estimate, or its reference, is silent, see the package: (E, W)."""
        spans = [slice(start, start + windows.length) for start in windows.starts()]
        estimate_EW = np.stack([_silent(self.estimate_ESNC[:, :, span]).any(-1) for span in spans], axis=-1)
        return estimate_EW | np.array([_silent(self.reference_SNC[:, span]).any() for span in spans])


def cut(songs: Sequence[Song], starts: Sequence[int], length: int) -> np.ndarray:
    """Return blocks of samples of several songs, zeros before a song's start and beyond its end.

    That is (songs B, blocks W, signals A, length), float64: the references' channels, then the estimates', source by
    source. The songs have the same numbers of sources, estimates and channels; their lengths may differ.
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


@dataclass(frozen=True)
class Windows:
    """Windows of `length` samples, `hop` samples apart, `count` of them; the last one ends within the song."""

    length: int
    hop: int
    count: int

    @classmethod
    def of_song(cls, samples: int, window: float, hop: float) -> "Windows":
        """Return museval's windows: a rest shorter than a window is not scored, a song of at most a window is one.

        Window and hop are in samples, math.inf for the whole song; the hop has no effect where there is one window.

        Raises:
            ValueError: a window or hop of less than a sample, or, where there are several, of a part of one.
        """
        if not (window >= 1 and hop >= 1):
            raise ValueError(f"window of {window} and hop of {hop} samples: expected one or more of each")
        if window >= samples:
            return cls(samples, samples, 1)
        if int(window) != window or (math.isfinite(hop) and int(hop) != hop):
            raise ValueError(f"window of {window} and hop of {hop} samples: expected whole numbers")
        if math.isinf(hop):
            return cls(int(window), samples, 1)
        return cls(int(window), int(hop), (samples - int(window)) // int(hop) + 1)

    def starts(self) -> range:
        """Return the first sample of each window."""
        return range(0, self.count * self.hop, self.hop)
