"""Correlations of references and estimates over whole songs, block after block."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from madsep_jax.bss_eval.song import Song, cut

#: Taps that fit into a transform. With 512 taps it has 8,192 samples, whose sums stay in a CPU's cache.
_TAPS_IN_TRANSFORM = 16
#: Blocks that are cut, and handed over, at a time.
_BLOCKS = 8


def correlate(songs: Sequence[Song], taps: int) -> jax.Array:
    """Return the correlations of the references with all signals over whole songs, as if by one long transform.

    Each block of a reference meets the same block of the other signals and taps - 1 samples on either side of it, so
    that the cross power spectra add up to those of the song at the lags that matter. Memory is that of a few blocks,
    whatever the length of the songs.

    Returns:
        Σ_n reference_k[n] signal_a[n + t] of K reference and A signals in all, t from -(L - 1) to L - 1, L being the
        taps of the filters: (songs B, K, A, 2 L - 1), float64.
    """
    fft = 2 ** (_TAPS_IN_TRANSFORM * taps - 1).bit_length()
    block = fft - 2 * (taps - 1)
    shape = (len(songs), songs[0].references, songs[0].signals, fft // 2 + 1)
    sums_BKAF = jnp.zeros(shape, jnp.complex128)
    for first in range(0, max(song.samples for song in songs), block * _BLOCKS):
        starts = range(first - taps + 1, first + block * _BLOCKS - taps + 1, block)
        sums_BKAF = _add_blocks(sums_BKAF, cut(songs, starts, fft), taps=taps)
    return _at_short_lags(sums_BKAF, taps=taps)


@functools.partial(jax.jit, static_argnames="taps", donate_argnums=0)
def _add_blocks(sums_BKAF: jax.Array, x_BWAN: jax.Array, *, taps: int) -> jax.Array:
    """Add the cross power spectra of blocks, which overlap by 2 (taps - 1) samples."""
    fft = x_BWAN.shape[-1]
    references = sums_BKAF.shape[1]

    def add(sums_BKAF: jax.Array, x_BAN: jax.Array) -> tuple[jax.Array, None]:
        inner_BKN = x_BAN[:, :references, taps - 1 : fft - taps + 1]
        reference_BKF = jnp.fft.rfft(jnp.pad(inner_BKN, ((0, 0), (0, 0), (taps - 1, taps - 1))))
        return sums_BKAF + reference_BKF[:, :, None].conj() * jnp.fft.rfft(x_BAN)[:, None], None

    return jax.lax.scan(add, sums_BKAF, jnp.moveaxis(x_BWAN, 1, 0))[0]


@functools.partial(jax.jit, static_argnames="taps")
def _at_short_lags(cross_BKAF: jax.Array, *, taps: int) -> jax.Array:
    fft = 2 * (cross_BKAF.shape[-1] - 1)
    circular_BKAN = jnp.fft.irfft(cross_BKAF, fft)
    return jnp.concatenate([circular_BKAN[..., fft - taps + 1 :], circular_BKAN[..., :taps]], axis=-1)
