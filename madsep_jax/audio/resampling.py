"""Other sampling rates, and what is checked of samples and rates."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np

from madsep_jax.audio.info import import_package

#: Samples, at the lower of the two rates, by which `resample_blocks` lags behind at most (soxr's filter and its blocks:
#: up to 1750 of them were found, from 48 to 11.025 kHz).
RESAMPLER_LAG = 2048


def check_samples(samples_NC: np.ndarray) -> np.ndarray:
    """Return the samples. Raises ValueError unless they are floating point (samples N, channels C)."""
    samples_NC = np.asarray(samples_NC)
    if samples_NC.ndim != 2 or samples_NC.shape[1] == 0 or samples_NC.dtype not in (np.float32, np.float64):
        raise ValueError(f"{samples_NC.dtype} {samples_NC.shape}: expected float (samples N, channels C)")
    return samples_NC


def check_rate(name: str, rate: int) -> int:
    """Return a rate in Hz. Raises ValueError, by its name, unless it is a positive integer."""
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate <= 0:
        raise ValueError(f"{name}={rate!r}: expected a positive integer in Hz")
    return int(rate)


def process_at_rate(
    samples_NC: np.ndarray, sample_rate: int, rate: int, process: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Resample from `sample_rate` to `rate` (Hz), process, and resample back to exactly the original length.

    `process` keeps the length; it may change the number of channels.
    """
    processed_NC = resample(process(resample(samples_NC, sample_rate, rate)), rate, sample_rate)
    processed_NC = processed_NC[: len(samples_NC)]  # there and back may differ by a sample
    return np.pad(processed_NC, ((0, len(samples_NC) - len(processed_NC)), (0, 0)))


def resample(samples_NC: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return the samples (samples N, channels C) at another rate in Hz: round(N · to / from), same dtype.

    By soxr at its very high quality, linear phase; the very same array where the rates are equal.

    Raises:
        InputError: soxr is not installed.
        ValueError: samples that are not floating point (N, C), or a rate that is not a positive integer.
    """
    samples_NC = check_samples(samples_NC)
    from_rate, to_rate = check_rate("from_rate", from_rate), check_rate("to_rate", to_rate)
    if from_rate == to_rate:
        return samples_NC
    soxr = import_package("soxr")
    n = round(Fraction(len(samples_NC) * to_rate, from_rate))
    out_NC = soxr.resample(samples_NC, from_rate, to_rate, quality="VHQ")
    if abs(n - len(out_NC)) > 2 + to_rate // from_rate:
        raise RuntimeError(f"soxr returned {len(out_NC)} samples, expected {n}")
    return np.pad(out_NC[:n], ((0, max(0, n - len(out_NC))), (0, 0)))


def resample_blocks(blocks_NC: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield what `resample` returns of all samples (N, C) at once, as they come.

    The memory is that of a block, and of the samples by which the filter lags behind (`RESAMPLER_LAG`).

    Raises:
        InputError: soxr is not installed.
        ValueError: samples that are not floating point (N, C), or a rate that is not a positive integer.
    """
    from_rate, to_rate = check_rate("from_rate", from_rate), check_rate("to_rate", to_rate)
    if from_rate == to_rate:
        yield from map(check_samples, blocks_NC)
        return
    soxr = import_package("soxr")
    stream, taken, given = None, 0, 0
    for block_NC in map(check_samples, blocks_NC):
        if stream is None:
            silence_NC = block_NC[:0]
            stream = soxr.ResampleStream(from_rate, to_rate, block_NC.shape[1], block_NC.dtype, quality="VHQ")
        taken += len(block_NC)
        out_NC = stream.resample_chunk(np.ascontiguousarray(block_NC))
        given += len(out_NC)
        yield out_NC
    if stream is None:
        return
    left = round(Fraction(taken * to_rate, from_rate)) - given
    out_NC = stream.resample_chunk(silence_NC, last=True)
    if left < 0 or abs(left - len(out_NC)) > 2 + to_rate // from_rate:
        raise RuntimeError(f"soxr returned {given + len(out_NC)} samples, expected {given + left}")
    yield np.pad(out_NC[:left], ((0, max(0, left - len(out_NC))), (0, 0)))
