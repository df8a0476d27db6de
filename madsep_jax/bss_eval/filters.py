"""Distortion filters: the least-squares projection of estimates onto references and their delays, by correlations."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.bss_eval import conjugate_gradients, toeplitz
from madsep_jax.bss_eval.song import Song, cut
from madsep_jax.bss_eval.toeplitz import Product

#: Ways to solve, and what is added to the diagonal, as a share of it, so that it can be inverted where references
#: depend on each other; elimination is museval's way, and adds nothing.
_RECURSION, _ELIMINATION = ("levinson", 1e-11), ("elimination", 0.0)
_FACTORISATIONS = (("cholesky", 1e-12), ("cholesky", 1e-9), ("cholesky", 1e-6))
#: Tried in turn, until the equations are solved. The recursion has hundreds of small steps, which are for CPUs. Where
#: it does not get there, iterating with a factorisation would take a CPU longer than elimination.
_ON_CPU = (_RECURSION, _ELIMINATION, *_FACTORISATIONS)
_ELSEWHERE = (*_FACTORISATIONS, _ELIMINATION)
#: Energy of a projection's error, as a share of the projection's, which is aimed at, and which is good enough. 1e-19
#: changes a ratio of 150 dB by 0.0004 dB.
_AIM, _ENOUGH = 1e-24, 1e-19
#: Added to the diagonal by museval, as it is.
_EPSILON = 2.0**-52


class Filters(NamedTuple):
    """Filters that project estimate e of source s; C channels, K = S · C, L taps. Songs B come first."""

    onto_all_BESKCL: jax.Array
    """From channel k of the references to the estimate's channel c."""
    onto_own_BESCCL: jax.Array
    """From the channels of reference s alone."""


def solve_filters(correlation_BKAT: jax.Array, sources: int, taps: int, target: str) -> Filters:
    """Return the filters that project each estimate onto all references, and onto its own reference alone.

    References that depend on each other linearly, or nearly, as two equal channels do, make the normal equations
    singular. Their diagonal is loaded so that they can be inverted, and conjugate gradients, preconditioned with that
    inverse, solve the equations without the load: their error is measured in energy of the projection, the very thing
    that is scored. It is enough where that is small, or where nothing but rounding is left: of music that has hardly
    any treble no solution in double precision has a smaller one, that by elimination included. On CPUs the inverse
    comes from the block-Levinson recursion, elsewhere from a Cholesky factorisation. Where these do not get there, as
    in songs that are shorter than the filters, Gaussian elimination solves the equations as they are.

    The correlations are as `correlate` returns them; references, and each estimate, have K = S · C channels, source by
    source: A = K + estimates · K. The target is the kind of the device that they lie on.

    Source: E. Vincent, R. Gribonval, C. Févotte: Performance Measurement in Blind Audio Source Separation, IEEE Trans.
    Audio, Speech, and Language Processing 14(4), 2006; images and multichannel filters as in BSSEval v3 and v4.
    """
    gram_BKKT, target_BKLESC, own_BKKT, own_BKLESC = _equations(correlation_BKAT, sources=sources, taps=taps)
    onto_all_BESKCL = jnp.transpose(_solution(gram_BKKT, target_BKLESC, target), (0, 3, 4, 1, 5, 2))
    if sources == 1:
        return Filters(onto_all_BESKCL, onto_all_BESKCL)
    onto_own_BESKCL = jnp.transpose(_solution(own_BKKT, own_BKLESC, target), (0, 3, 4, 1, 5, 2))
    songs, estimates, _, k, channels, _ = onto_own_BESKCL.shape
    onto_own_BESSCCL = onto_own_BESKCL.reshape(songs, estimates, sources, sources, k // sources, channels, taps)
    return Filters(onto_all_BESKCL, jnp.moveaxis(jnp.diagonal(onto_own_BESSCCL, axis1=2, axis2=3), -1, 2))


@functools.partial(jax.jit, static_argnames=("sources", "taps"))
def _equations(
    correlation_BKAT: jax.Array, *, sources: int, taps: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return matrices and right-hand sides of the filters onto all references, and of those onto its own reference.

    The latter are the former without what the sources have in common.
    """
    songs, k, signals, _ = correlation_BKAT.shape
    channels, estimates = k // sources, signals // k - 1
    gram_BKKT = correlation_BKAT[:, :, :k]
    target_BKLESC = jnp.moveaxis(correlation_BKAT[..., taps - 1 :], 2, 3)[..., k:].reshape(
        songs, k, taps, estimates, sources, channels
    )
    source_K = jnp.arange(k) // channels
    own_KK1 = (source_K[:, None] == source_K)[..., None]
    own_K11S1 = (source_K[:, None] == jnp.arange(sources))[:, None, None, :, None]
    return gram_BKKT, target_BKLESC, jnp.where(own_KK1, gram_BKKT, 0), jnp.where(own_K11S1, target_BKLESC, 0)


def _solution(gram_BKKT: jax.Array, target_BKLESC: jax.Array, target: str) -> jax.Array:
    """Return the best solution of equations of this form, by the first way that gets there."""
    best, smallest = None, math.inf
    for form, loading in _ON_CPU if target == "cpu" else _ELSEWHERE:
        x_BKLESC, found = _solve(gram_BKKT, target_BKLESC, loading, form=form)
        error = float(found)
        if error <= smallest:  # not so where it is NaN
            best, smallest = x_BKLESC, error
        if error < _ENOUGH:
            break
    assert best is not None, "an iterative solution's error is never NaN"
    return best


_INVERSES: dict[str, Callable[[jax.Array], Product]] = {
    "levinson": toeplitz.levinson_inverse,
    "cholesky": toeplitz.cholesky_inverse,
}


@functools.partial(jax.jit, static_argnames="form")
def _solve(gram_BKKT: jax.Array, target_BKLESC: jax.Array, loading: float, *, form: str) -> tuple[jax.Array, jax.Array]:
    """Return a solution, and its largest error: NaN where there is no solution, 0 where nobody measures it."""
    _, k, taps = target_BKLESC.shape[:3]

    def solve_song(gram_KKT: jax.Array, target_KLY: jax.Array) -> conjugate_gradients.Solution:
        diagonal_K = jnp.diagonal(gram_KKT[:, :, taps - 1])
        scale_K = jax.lax.rsqrt(diagonal_K + _EPSILON)  # a faint source is no harder to project onto than a loud one
        gram_KKT = gram_KKT.at[:, :, taps - 1].add(_EPSILON * jnp.eye(k)) * scale_K[:, None, None] * scale_K[:, None]
        target_KLY = target_KLY * scale_K[:, None, None]
        if form == "elimination":
            x_KLY = toeplitz.solve_by_elimination(gram_KKT, target_KLY)
            found = conjugate_gradients.Solution(x_KLY, jnp.where(jnp.isfinite(x_KLY).all(), 0.0, jnp.nan))
        else:
            loaded_KKT = gram_KKT.at[:, :, taps - 1].add(loading * jnp.eye(k))
            precondition = _INVERSES[form](loaded_KKT)
            found = conjugate_gradients.solve(
                toeplitz.product(gram_KKT),
                precondition,
                target_KLY,
                _AIM,
                norm=k,  # each of the k channels has the energy 1
                surely_positive=form == "cholesky",
            )
        return found._replace(x_KLY=found.x_KLY * scale_K[:, None, None])

    found = [
        solve_song(gram_KKT, target_KLESC.reshape(k, taps, -1))
        for gram_KKT, target_KLESC in zip(gram_BKKT, target_BKLESC, strict=True)
    ]
    x_BKLESC = jnp.stack([solution.x_KLY for solution in found]).reshape(target_BKLESC.shape)
    return x_BKLESC, jnp.stack([solution.error for solution in found]).max()


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
