"""Other sampling rates, block by block."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np

from madsep_jax.audio.info import import_package
from madsep_jax.audio.resampling import check_rate, check_samples


def resample_blocks(blocks_NC: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Yield what `madsep_jax.audio.resample` returns of all samples (N, C) at once, as they come.

    The memory is that of a block, and of the third of a second by which the filter lags behind.

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
