"""Songs of noises, and scores by number, for the tests of scoring."""

import numpy as np

from experiments.scoring.protocols import METRICS
from experiments.scoring.song_scores import TARGETS, SongScores

RATE = 8000
WINDOWS = 3
SAMPLES = WINDOWS * RATE


def sources(channels, samples=SAMPLES, seed=0):
    """Two references and their estimates with some interference and noise, (2, N, C) each."""
    rng = np.random.default_rng(seed)
    reference_SNC = 0.1 * rng.standard_normal((2, samples, channels))
    noise_SNC = 0.02 * rng.standard_normal(reference_SNC.shape)
    return reference_SNC, 0.9 * reference_SNC + 0.2 * reference_SNC[::-1] + noise_SNC


def song(channels=1):
    """A mixture, its voice and an estimate of the voice, (N, C) each."""
    reference_SNC, estimate_SNC = sources(channels)
    return reference_SNC.sum(0), reference_SNC[0], estimate_SNC[0]


def scores_of(track, vocals, accompaniment, **lengths):
    """SongScores whose four metrics are the same numbers, shifted by 0, 1, 2 and 3 dB."""
    targets = {
        target: {metric: np.array(values) + shift for shift, metric in enumerate(METRICS)}
        for target, values in zip(TARGETS, (vocals, accompaniment), strict=True)
    }
    return SongScores(track=track, **{"window_s": 1.0, "hop_s": 1.0} | lengths, targets=targets, museval_version="x")
