"""Energies of the parts into which filters divide the estimates, window by window, and their ratios in dB."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax.typing import ArrayLike


class Energies(NamedTuple):
    """Energies over a window of every estimate and source, all of shape (..., E, S)."""

    true: ArrayLike
    """Of the reference."""
    error: ArrayLike
    """Of estimate - reference."""
    spatial: ArrayLike
    """Of projection onto its own reference - reference: e_spat."""
    own: ArrayLike
    """Of the projection onto its own reference: s_true + e_spat."""
    interference: ArrayLike
    """Of projection onto all references - projection onto its own: e_interf."""
    explained: ArrayLike
    """Of the projection onto all references: s_true + e_spat + e_interf."""
    artifacts: ArrayLike
    """Of estimate - projection onto all references: e_artif."""


def window_energies(x_AN: jax.Array, onto_all_ESKCF: jax.Array, onto_own_ESCCF: jax.Array, fft: int) -> Energies:
    """Return the energies of one window.

    The window is cut out first and filtered then, with silence around it, as museval does. Its projections are taps - 1
    samples longer than it is; the transform holds all of them, so their energies are sums over frequencies, and no
    transform goes back.

    Args:
        x_AN: samples of the references' and then of the estimates' channels, source by source.
        onto_all_ESKCF: spectra of the filters onto all references.
        onto_own_ESCCF: spectra of the filters onto the estimate's own reference.
        fft: length of the transform, at least that of the window + taps - 1.
    """
    estimates, sources, k, channels, _ = onto_all_ESKCF.shape
    true_SCN = x_AN[:k].reshape(sources, channels, -1)
    estimate_ESCN = x_AN[k:].reshape(estimates, sources, channels, -1)
    spectrum_AF = jnp.fft.rfft(x_AN, fft)
    reference_KF = spectrum_AF[:k]
    true_SCF = reference_KF.reshape(sources, channels, -1)
    estimate_ESCF = spectrum_AF[k:].reshape(estimates, sources, channels, -1)
    all_ESCF = (onto_all_ESKCF * reference_KF[:, None]).sum(2)
    own_ESCF = all_ESCF if sources == 1 else (onto_own_ESCCF * true_SCF[:, :, None]).sum(2)

    def energy_ES(spectrum_ESCF: jax.Array) -> jax.Array:
        return energy(spectrum_ESCF, fft).sum(-1)

    true_S = (true_SCN**2).sum((-2, -1))
    return Energies(
        true=jnp.broadcast_to(true_S, (estimates, sources)),
        error=((estimate_ESCN - true_SCN) ** 2).sum((-2, -1)),
        spatial=energy_ES(own_ESCF - true_SCF),
        own=energy_ES(own_ESCF),
        interference=energy_ES(all_ESCF - own_ESCF),
        explained=energy_ES(all_ESCF),
        artifacts=energy_ES(estimate_ESCF - all_ESCF),
    )


def fft_length(samples: int, *, exact: bool) -> int:
    """Return a length of at least so many samples at which the transform is fast.

    That is the next one where it is `exact`, else one of four an octave: songs of many lengths share few programs.
    """
    if exact:
        return int(scipy.fft.next_fast_len(samples, real=True))
    step = 2 ** max((samples - 1).bit_length() - 3, 6)
    return -(-samples // step) * step


def energy(spectrum_XF: jax.Array, length: int) -> jax.Array:
    """Return the energy of real signals from the last axis of their `rfft` of `length` points (Parseval)."""
    power_XF = spectrum_XF.real**2 + spectrum_XF.imag**2
    twice = 2 * power_XF.sum(-1) - power_XF[..., 0]
    return (twice - power_XF[..., -1] if length % 2 == 0 else twice) / length


class Ratios(NamedTuple):
    """Scores in dB, float64 (..., sources S, windows W). NaN: no score. +inf: nothing was wrong."""

    sdr: np.ndarray
    """Source to distortion: reference to estimate - reference."""
    isr: np.ndarray
    """Source image to spatial distortion."""
    sir: np.ndarray
    """Source to interference."""
    sar: np.ndarray
    """Source to artifacts."""


def ratios_of(energies_ESW: Energies, silent_EW: np.ndarray) -> Ratios:
    """Return the ratios of energies, as museval forms them; all NaN in windows in which a source is silent."""
    energies = jax.tree.map(lambda energy_ESW: np.where(silent_EW[:, None], np.nan, energy_ESW), energies_ESW)
    return Ratios(
        sdr=decibels(energies.true, energies.error),
        isr=decibels(energies.true, energies.spatial),
        sir=decibels(energies.own, energies.interference),
        sar=decibels(energies.explained, energies.artifacts),
    )


def decibels(energy: ArrayLike, disturbance: ArrayLike) -> np.ndarray:
    """Return the ratio of two energies in dB: +inf where nothing disturbs, -inf where nothing but disturbance is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.divide(energy, disturbance)
        return np.where(np.equal(disturbance, 0), np.inf, 10 * np.log10(ratio))
