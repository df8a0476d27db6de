"""Energies of the parts into which filters divide the estimates, and their ratios in dB.

Over windows the samples are filtered. Over a whole song the energies come from the correlations that its filters come
from, and no sample is filtered.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jax.typing import ArrayLike

from madsep_jax.bss_eval import toeplitz
from madsep_jax.bss_eval.filters import Filters
from madsep_jax.bss_eval.song import Song


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

    The samples are those of the references' and then of the estimates' channels, source by source; the filters, onto
    all references and onto the estimate's own, are spectra of `fft` points, at least the window's + taps - 1.
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


#: Rounding error of a quadratic form, as a share of its largest possible value, with a margin of ten.
_ROUNDING = 1e-14
#: Share of an energy that its rounding error may be: 1e-4 dB.
_ACCURACY = 2e-5


def song_energies(song: Song, correlation_KAT: jax.Array, filters: Filters) -> Energies | None:
    """Return the energies (E, S) over a whole song of E estimates, or None where rounding could be seen in one of them.

    A filtered song's energy is a quadratic form of the filter and the song's correlations. That is as exact as
    filtering the song unless the form nearly vanishes, as where an estimate has no fault at all, or where the filters
    are large only where the references have next to no sound.

    Correlations and filters are this song's, as `correlate` and `solve_filters` return them.
    """
    estimate_ESC = _channel_energies(song.estimate_ESNC)
    fault_ESC = np.array(
        [
            [_channel_energies(estimate_NC.astype(np.float64) - true_NC) for estimate_NC, true_NC in pairs]
            for pairs in (zip(estimate_SNC, song.reference_SNC, strict=True) for estimate_SNC in song.estimate_ESNC)
        ]
    )
    energies, is_exact = _quadratic_forms(correlation_KAT, *filters, estimate_ESC)
    if not is_exact:
        return None
    true_ES = np.broadcast_to(_channel_energies(song.reference_SNC).sum(-1), energies["own"].shape)
    return Energies(true=true_ES, error=fault_ESC.sum(-1), **energies)


def _channel_energies(x_XNC: np.ndarray) -> np.ndarray:
    return np.einsum("...nc,...nc->...c", x_XNC, x_XNC, dtype=np.float64)


@jax.jit
def _quadratic_forms(
    correlation_KAT: jax.Array, onto_all_ESKCL: jax.Array, onto_own_ESCCL: jax.Array, estimate_ESC: jax.Array
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return the energies (E, S), and whether all of them are exact."""
    estimates, sources, k, channels, taps = onto_all_ESKCL.shape
    gram_KKT = correlation_KAT[:, :k]
    multiply = toeplitz.product(gram_KKT)
    largest = toeplitz.largest_eigenvalue_bound(gram_KKT)
    source_SS11 = jnp.eye(sources)[:, :, None, None]
    own_ESKCL = (onto_own_ESCCL[:, :, None] * source_SS11[..., None]).reshape(onto_all_ESKCL.shape)
    as_it_is_SKC = (source_SS11 * jnp.eye(channels)).reshape(sources, k, channels)
    spatial_ESKCL = own_ESKCL.at[..., 0].add(-as_it_is_SKC)

    def form(filter_ESKCL: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the energies of what the filters make of the references, and what rounding may change in them."""
        x_KLY = jnp.moveaxis(filter_ESKCL, (2, 4), (0, 1)).reshape(k, taps, -1)
        energy_Y = (x_KLY * multiply(x_KLY)).sum((0, 1))
        rounding_Y = _ROUNDING * largest * (x_KLY**2).sum((0, 1))
        return energy_Y.reshape(estimate_ESC.shape), rounding_Y.reshape(estimate_ESC.shape)

    forms = {
        "spatial": form(spatial_ESKCL),
        "own": form(own_ESKCL),
        "interference": form(onto_all_ESKCL - own_ESKCL),
        "explained": form(onto_all_ESKCL),
    }
    onto_estimate_KLESC = jnp.moveaxis(correlation_KAT[:, k:, taps - 1 :], 1, 2)
    onto_estimate_ESKCL = onto_estimate_KLESC.reshape(k, taps, estimates, sources, channels).transpose(2, 3, 0, 4, 1)
    common_ESC = (onto_estimate_ESKCL * onto_all_ESKCL).sum((2, 4))
    explained_ESC, rounding_ESC = forms["explained"]
    forms["artifacts"] = estimate_ESC - 2 * common_ESC + explained_ESC, _ROUNDING * estimate_ESC + rounding_ESC
    summed = {name: (energy_ESC.sum(-1), rounding_ESC.sum(-1)) for name, (energy_ESC, rounding_ESC) in forms.items()}
    exact = [(rounding_ES <= _ACCURACY * energy_ES).all() for energy_ES, rounding_ES in summed.values()]
    return {name: energy_ES for name, (energy_ES, _) in summed.items()}, jnp.stack(exact).all()
