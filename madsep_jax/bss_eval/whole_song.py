"""Ratios over a whole song, without distortion filters: pure functions, to be jitted, mapped and differentiated."""

import jax
import jax.numpy as jnp

#: In both energies: two silent signals have a ratio of 0 dB.
SDR_EPSILON = 1e-7


def sdr(reference_XNC: jax.Array, estimate_XNC: jax.Array) -> jax.Array:
    """Return the signal-to-distortion ratio of whole signals (..., N, C) in dB, (...): the `usdr` of recent challenges.

    SDR = 10 log10 (Σ s² + ε) / (Σ (s - ŝ)² + ε), sums over all samples and channels, ε = 1e-7, ±1 being full scale. A
    silent reference has a score too, which says how loud the estimate is.

    Source: Y. Mitsufuji et al., Music Demixing Challenge 2021, Frontiers in Signal Processing 1, 2022.
    """
    energy_X = (reference_XNC**2).sum((-2, -1))
    error_X = ((reference_XNC - estimate_XNC) ** 2).sum((-2, -1))
    return 10 * jnp.log10((energy_X + SDR_EPSILON) / (error_X + SDR_EPSILON))


def si_sdr(reference_XNC: jax.Array, estimate_XNC: jax.Array) -> jax.Array:
    """Return the scale-invariant signal-to-distortion ratio of whole signals (..., N, C) in dB, (...).

    SI-SDR = 10 log10 Σ (α s)² / Σ (α s - ŝ)² with α = Σ ŝ s / Σ s², sums over all samples and channels, one α for all
    channels, no mean taken off. NaN where reference or estimate is silent, +inf where nothing but the scale is wrong.

    Source: J. Le Roux, S. Wisdom, H. Erdogan, J. R. Hershey, SDR - Half-Baked or Well Done?, ICASSP 2019.
    """
    energy_X = (reference_XNC**2).sum((-2, -1))
    silent_X = (energy_X == 0) | (estimate_XNC == 0).all((-2, -1))
    scale_X = (estimate_XNC * reference_XNC).sum((-2, -1)) / jnp.where(energy_X == 0, 1, energy_X)
    target_XNC = scale_X[..., None, None] * reference_XNC
    error_X = ((target_XNC - estimate_XNC) ** 2).sum((-2, -1))
    ratio_X = 10 * jnp.log10((target_XNC**2).sum((-2, -1)) / error_X)
    return jnp.where(silent_X, jnp.nan, ratio_X)
