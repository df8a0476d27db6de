"""Energy ratios in dB."""

from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from madsep_jax.bss_eval.energies import Energies


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
