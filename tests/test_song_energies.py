"""Energies from correlations against those of the filtered samples, and where they are refused."""

import numpy as np
import pytest
from museval_cases import KINDS, noises, silent_windows

from madsep_jax.bss_eval.energies import song_energies
from madsep_jax.bss_eval.filters import Filters, correlate, solve_filters
from madsep_jax.bss_eval.song import Song, Windows
from madsep_jax.bss_eval.v4 import _window_energies
from madsep_jax.ops.precision import double_precision

TAPS = 24


def both(reference_SNC, estimate_ESNC):
    """Energies (E, S) from correlations, or None, and from filtered samples."""
    song = Song.of(reference_SNC, estimate_ESNC)
    with double_precision():
        correlation_BKAT = correlate([song], TAPS)
        filters = solve_filters(correlation_BKAT, len(reference_SNC), TAPS, "cpu")
        found = song_energies(song, correlation_BKAT[0], Filters(*(of_songs[0] for of_songs in filters)))
        whole = Windows.of_song(song.samples, np.inf, np.inf)
        filtered = _window_energies([song], [whole], filters, exact=np.inf, target="cpu")
    return found, type(filtered)(*(energy_BESW[0, ..., 0] for energy_BESW in filtered))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not silent_windows], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("sources", "channels"), [(1, 1), (2, 2), (3, 1)])
def test_energies_are_those_of_filtered_samples(kind, sources, channels):
    """Two estimates; all seven energies to within 1e-4 dB, or none: mixtures of the references have no artifacts."""
    reference_SNC, estimate_SNC = kind(np.random.default_rng(sources), sources, 2000, channels)
    found, filtered = both(reference_SNC, np.stack([estimate_SNC, 0.5 * estimate_SNC + 0.01 * reference_SNC[:, ::-1]]))
    if kind.__name__ in ("mixtures", "swapped", "quantised_lowpass") and found is None:
        return
    assert found is not None
    for name, found_ES, expected_ES in zip(found._fields, found, filtered, strict=True):
        np.testing.assert_allclose(found_ES, expected_ES, rtol=2.3e-5, atol=0, err_msg=name)


def test_what_rounding_could_be_seen_in_is_refused():
    """Faults of -50 dB are computed, those of -130 dB are not: sums of squares have 16 digits."""
    reference_SNC, estimate_SNC = noises(np.random.default_rng(0), 2, 2000, 2)
    for fault, is_computed in ((10**-2.5, True), (10**-6.5, False), (0.0, False)):
        found, _ = both(reference_SNC, (reference_SNC + fault * (estimate_SNC - reference_SNC))[None])
        assert (found is not None) == is_computed
