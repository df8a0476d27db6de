"""Ratios over a whole song, without distortion filters: pure functions, to be jitted, mapped and differentiated."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from madsep_jax.bss_eval.song import as_samples

#: In both energies: two silent signals have a ratio of 0 dB.
SDR_EPSILON = 1e-7


def sdr(reference_XNC: ArrayLike, estimate_XNC: ArrayLike) -> jax.Array:
    """Return the signal-to-distortion ratio of whole signals (..., N, C) in dB, (...): the `usdr` of recent challenges.

    SDR = 10 log10 (Σ s² + ε) / (Σ (s - ŝ)² + ε), sums over all samples and channels, ε = 1e-7, ±1 being full scale. A
    silent reference has a score too, which says how loud the estimate is.

    A signal of one axis is mono, (N,). Samples are floating-point, or 16- or 32-bit integers, whose full scale becomes
    ±1. The axes before the last two follow NumPy's rules, so that one reference may have several estimates.

    Raises:
        ValueError: signals whose samples and channels differ in number, more channels than samples, as a signal with
            its axes the other way round or mono signals side by side have, or samples of another kind.

    Source: Y. Mitsufuji et al., Music Demixing Challenge 2021, Frontiers in Signal Processing 1, 2022.
    """
    reference_XNC, estimate_XNC = _signals(reference_XNC, estimate_XNC)
    energy_X = (reference_XNC**2).sum((-2, -1))
    error_X = ((reference_XNC - estimate_XNC) ** 2).sum((-2, -1))
    return 10 * jnp.log10((energy_X + SDR_EPSILON) / (error_X + SDR_EPSILON))


def si_sdr(reference_XNC: ArrayLike, estimate_XNC: ArrayLike) -> jax.Array:
    """Return the scale-invariant signal-to-distortion ratio of whole signals (..., N, C) in dB, (...).

    SI-SDR = 10 log10 Σ (α s)² / Σ (α s - ŝ)² with α = Σ ŝ s / Σ s², sums over all samples and channels, one α for all
    channels, no mean taken off. NaN where reference or estimate is silent, +inf where nothing but the scale is wrong.
    Signals, and errors raised, are those of `sdr`.

    Source: J. Le Roux, S. Wisdom, H. Erdogan, J. R. Hershey, SDR - Half-Baked or Well Done?, ICASSP 2019.
    """
    reference_XNC, estimate_XNC = _signals(reference_XNC, estimate_XNC)
    energy_X = (reference_XNC**2).sum((-2, -1))
    silent_X = (energy_X == 0) | (estimate_XNC == 0).all((-2, -1))
    scale_X = (estimate_XNC * reference_XNC).sum((-2, -1)) / jnp.where(energy_X == 0, 1, energy_X)
    target_XNC = scale_X[..., None, None] * reference_XNC
    error_X = ((target_XNC - estimate_XNC) ** 2).sum((-2, -1))
    ratio_X = 10 * jnp.log10((target_XNC**2).sum((-2, -1)) / error_X)
    return jnp.where(silent_X, jnp.nan, ratio_X)


def _signals(reference: ArrayLike, estimate: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return both signals with samples and channels, in floating point; raises ValueError where `sdr` does."""
    both = [as_samples(name, signal) for name, signal in (("reference", reference), ("estimate", estimate))]
    if both[0].ndim == both[1].ndim == 1:
        both = [signal_N[:, None] for signal_N in both]
    shapes = [np.shape(signal) for signal in both]
    samples, channels = shapes[0][-2:] if len(shapes[0]) > 1 else (0, 0)
    if shapes[0][-2:] != shapes[1][-2:] or not samples >= channels >= 1:
        raise ValueError(
            f"reference of shape {np.shape(reference)} and estimate of shape {np.shape(estimate)}: expected the same "
            "(samples, channels) at the end of both; mono signals side by side are (signals, samples, 1)"
        )
    try:
        np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
    except ValueError:
        raise ValueError(
            f"reference of shape {shapes[0]} and estimate of shape {shapes[1]}: expected as many of each, or one"
        ) from None
    reference_XNC, estimate_XNC = (jnp.asarray(signal) for signal in both)
    return reference_XNC, estimate_XNC
