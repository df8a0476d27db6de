"""Energies over a whole song, from the correlations that its filters come from: no sample is filtered."""

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.bss_eval import toeplitz
from madsep_jax.bss_eval.energies import Energies
from madsep_jax.bss_eval.filters import Filters
from madsep_jax.bss_eval.song import Song

#: Rounding error of a quadratic form, as a share of its largest possible value, with a margin of ten.
_ROUNDING = 1e-14
#: Share of an energy that its rounding error may be: 1e-4 dB.
_ACCURACY = 2e-5


def song_energies(song: Song, correlation_KAT: jax.Array, filters: Filters) -> Energies | None:
    """Return the energies (E, S) over a whole song of E estimates, or None where rounding could be seen in one of them.

    A filtered song's energy is a quadratic form of the filter and the song's correlations. That is as exact as
    filtering the song unless the form nearly vanishes, as where an estimate has no fault at all, or where the filters
    are large only where the references have next to no sound.

    Correlations and filters are those of this song: (E, S, K, C, L) and (E, S, C, C, L).
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
