"""Score one song's separated voice, and what is left of the mixture without it."""

import numpy as np

from experiments.scoring.museval_engine import bss_eval_v4, museval_version
from experiments.scoring.song_scores import TARGETS, SongScores


def score_song(
    track_name: str,
    mixture_NC: np.ndarray,
    voice_NC: np.ndarray,
    voice_estimate_NC: np.ndarray,
    sample_rate: int,
    *,
    accompaniment_estimate_NC: np.ndarray | None = None,
    window_s: float = 1.0,
    hop_s: float = 1.0,
) -> SongScores:
    """Score a voice estimate by BSSEval v4 against voice and accompaniment = mixture - voice.

    Differences are taken in float64. A window in which a voice, an accompaniment or an estimate of either is
    silent is NaN for both targets (`bss_eval_v4`).

    Args:
        track_name: the song's name, kept with the scores.
        mixture_NC: the mixture's samples.
        voice_NC: the true voice.
        voice_estimate_NC: the separated voice.
        sample_rate: Hz.
        accompaniment_estimate_NC: the separated accompaniment; mixture - voice estimate when None. For the
            unprocessed mixture as the voice estimate, give the mixture here too (`references.mixture_as_voice`):
            the difference would be silent, and a silent estimate has no scores.
        window_s: length of a window in seconds.
        hop_s: seconds from one window to the next.

    Returns:
        SDR, ISR, SIR and SAR in dB of "vocals" and "accompaniment" in every window.

    Raises:
        ValueError: arrays not of one shape (N, C), or samples that are not finite.
        InputError: museval is not installed.
    """
    mixture_NC = np.asarray(mixture_NC, np.float64)
    voice_NC = _like(mixture_NC, "voice", voice_NC)
    voice_estimate_NC = _like(mixture_NC, "voice estimate", voice_estimate_NC)
    if accompaniment_estimate_NC is None:
        accompaniment_estimate_NC = mixture_NC - voice_estimate_NC
    accompaniment_estimate_NC = _like(mixture_NC, "accompaniment estimate", accompaniment_estimate_NC)
    scores = bss_eval_v4(
        np.stack([voice_NC, mixture_NC - voice_NC]),
        np.stack([voice_estimate_NC, accompaniment_estimate_NC]),
        sample_rate,
        window_s=window_s,
        hop_s=hop_s,
    )
    return SongScores(
        track=track_name,
        window_s=window_s,
        hop_s=hop_s,
        targets={target: scores.of_source(source) for source, target in enumerate(TARGETS)},
        museval_version=museval_version(),
    )


def _like(mixture_NC: np.ndarray, name: str, array_NC: np.ndarray) -> np.ndarray:
    array_NC = np.asarray(array_NC, np.float64)
    if mixture_NC.ndim != 2 or array_NC.shape != mixture_NC.shape:
        raise ValueError(
            f"{name} of shape {array_NC.shape} and mixture of shape {mixture_NC.shape}: expected one shape "
            "(samples, channels)"
        )
    return array_NC
