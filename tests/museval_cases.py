"""References and estimates of many kinds, and how scores are compared with museval's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

#: dB. Above it, less than rounding in double precision is left of a signal: the scores are noise, in museval as here.
NOISE_DB = 140.0
#: The same where references have fewer samples than the filters have taps, and nothing but rounding is not explained.
SHORT_NOISE_DB = 80.0
TOLERANCE_DB = 1e-3

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def assert_same_scores(found, expected, noise_db=NOISE_DB):
    """Each finite score within 1e-3 dB, the same NaN pattern; where nothing but rounding is left, both say so."""
    for found_SW, expected_SW in zip(found, expected, strict=True):
        assert found_SW.shape == expected_SW.shape
        np.testing.assert_array_equal(np.isnan(found_SW), np.isnan(expected_SW))
        scored = ~np.isnan(expected_SW)
        found_X, expected_X = (np.clip(scores_SW[scored], None, noise_db) for scores_SW in (found_SW, expected_SW))
        np.testing.assert_allclose(found_X, expected_X, rtol=0, atol=TOLERANCE_DB)


def noises(random, sources, samples, channels):
    """White noises, one of them leaking into the other."""
    reference_SNC = 0.1 * random.standard_normal((sources, samples, channels))
    noise_SNC = 0.02 * random.standard_normal(reference_SNC.shape)
    return reference_SNC, 0.9 * reference_SNC + 0.2 * reference_SNC[::-1] + noise_SNC


def filtered(random, sources, samples, channels):
    """Coloured noises of different levels; the estimates are reverberated."""
    reference_SNC, estimate_SNC = noises(random, sources, samples, channels)
    gain_S11 = 10 ** random.uniform(-2, 0, (sources, 1, 1))
    filter_N = random.standard_normal(12) * 0.6 ** np.arange(12)
    filter_N[0] = 1
    return tuple(_convolve(signal_SNC * gain_S11, filter_N) for signal_SNC in (reference_SNC, estimate_SNC))


def quantised_lowpass(random, sources, samples, channels):
    """Sources without treble but for the rounding to 16 bits, as decoded files have."""
    reference_SNC, estimate_SNC = noises(random, sources, samples, channels)
    lowpass_N = np.sinc((np.arange(31) - 15) / 2) * np.hamming(31) / 2
    return tuple(np.round(_convolve(x_SNC, lowpass_N) * 2**15) / 2**15 for x_SNC in (reference_SNC, estimate_SNC))


def silent_windows(random, sources, samples, channels):
    """A reference or an estimate silent for a third of the song."""
    pair = noises(random, sources, samples, channels)
    start = random.integers(0, max(samples // 2, 1))
    pair[random.integers(2)][random.integers(sources), start : start + samples // 3] = 0
    return pair


def swapped(random, sources, samples, channels):
    """Estimates in the wrong order, another gain on each."""
    reference_SNC, estimate_SNC = noises(random, sources, samples, channels)
    return reference_SNC, estimate_SNC[::-1] * random.uniform(0.1, 2, (sources, 1, 1))


def mixtures(random, sources, samples, channels):
    """The mixture as the estimate of each."""
    reference_SNC, _ = noises(random, sources, samples, channels)
    return reference_SNC, np.broadcast_to(reference_SNC.sum(0), reference_SNC.shape)


def faint(random, sources, samples, channels):
    """All at -120 dB."""
    reference_SNC, estimate_SNC = noises(random, sources, samples, channels)
    return 1e-6 * reference_SNC, 1e-6 * estimate_SNC


def equal_channels(random, sources, samples, channels):
    """All channels of a reference are one, as of a voice in the middle: the filters are not unique."""
    reference_SNC, estimate_SNC = noises(random, sources, samples, channels)
    return np.repeat(reference_SNC[..., :1], channels, axis=2), estimate_SNC


Kind = Callable[[np.random.Generator, int, int, int], tuple[np.ndarray, np.ndarray]]
KINDS: tuple[Kind, ...] = (
    noises,
    filtered,
    quantised_lowpass,
    silent_windows,
    swapped,
    mixtures,
    faint,
    equal_channels,
)


def _convolve(x_SNC, filter_N):
    return np.apply_along_axis(np.convolve, 1, x_SNC, filter_N)[:, : x_SNC.shape[1]]
