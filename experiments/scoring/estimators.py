"""What estimates the sources of a song for a row of the table: a checkpoint, or a reference that gives it its scale.

The references are no separation at all, and the best that a ratio mask can do.
"""

import time
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from data_pipelines.songs.tracks import TrackAudio
from madsep_jax.audio.resampling import process_at_rate
from madsep_jax.checkpoint.folder import load_level, load_model
from madsep_jax.config.signal import SignalConfig
from madsep_jax.config.training import Which
from madsep_jax.separation import Separated
from madsep_jax.separator import Separator
from madsep_jax.signal.stft import istft, stft


def mixture_as_voice(mixture_NC: np.ndarray) -> Separated:
    """Return the mixture, unprocessed and unscaled, as the estimate of both sources: the floor of the scale.

    Mixture - mixture as the accompaniment would be silence, for which BSSEval has no score, and which takes the
    voice's scores away with it.
    """
    mixture_NC = np.asarray(mixture_NC)
    return Separated(mixture_NC, mixture_NC)


def ideal_ratio_mask(mixture_NC: np.ndarray, voice_NC: np.ndarray, signal_config: SignalConfig) -> Separated:
    """Return what a mask made from the true magnitudes separates: the ceiling of the scale.

    The mask |V| / (|V| + |A|), with A the transform of mixture - voice and 0 where both are 0, is applied to the
    mixture's transform, channel by channel. The accompaniment is the mixture less the voice estimate: what the
    complementary mask would give. Both estimates are in the precision of the transform (float32 unless JAX has float64
    enabled). Raises ValueError for arrays that are not of one shape (N, C).

    Source: IRM1 of Stöter, Liutkus and Ito, The 2018 Signal Separation Evaluation Campaign, 2018
    (arXiv:1804.06267), with the papers' transform in place of theirs.
    """
    mixture_NC, voice_NC = np.asarray(mixture_NC), np.asarray(voice_NC)
    if mixture_NC.ndim != 2 or voice_NC.shape != mixture_NC.shape:
        raise ValueError(
            f"voice of shape {voice_NC.shape} and mixture of shape {mixture_NC.shape}: expected one shape "
            "(samples, channels)"
        )
    mixture_CTF = stft(jnp.asarray(mixture_NC.T), signal_config)
    voice_CTF = jnp.abs(stft(jnp.asarray(voice_NC.T), signal_config))
    accompaniment_CTF = jnp.abs(stft(jnp.asarray((mixture_NC - voice_NC).T), signal_config))
    total_CTF = voice_CTF + accompaniment_CTF
    mask_CTF = jnp.where(total_CTF > 0, voice_CTF / jnp.where(total_CTF > 0, total_CTF, 1), 0)
    estimate_NC = np.asarray(istft(mask_CTF * mixture_CTF, mixture_NC.shape[0], signal_config)).T
    return Separated(estimate_NC, mixture_NC.astype(estimate_NC.dtype) - estimate_NC)


#: The two rows that need no training and give the scores a scale.
MIXTURE = "mixture"
IDEAL_RATIO_MASK = "ideal ratio mask"
REFERENCES = (MIXTURE, IDEAL_RATIO_MASK)

Estimator = Callable[[TrackAudio], Separated]
_TIMED_SECONDS = 3.0
_TIMED_RUNS = 3


def reference_estimator(row: str, signal_config: SignalConfig) -> Estimator:
    """Return what estimates the voice in a row without training."""
    if row == MIXTURE:
        return lambda audio: mixture_as_voice(audio.mixture_NC)
    assert row == IDEAL_RATIO_MASK

    def estimate(audio: TrackAudio) -> Separated:
        # at the models' own rate and transform, so that it bounds what they can reach
        both_NC = np.concatenate([audio.mixture_NC, audio.voice_NC], axis=1)
        voice_NC = process_at_rate(both_NC, audio.sample_rate, signal_config.sample_rate, separate_both)
        return Separated(voice_NC, audio.mixture_NC - voice_NC)

    def separate_both(both_NC: np.ndarray) -> np.ndarray:
        mixture_NC, voice_NC = np.split(both_NC, 2, axis=1)
        return ideal_ratio_mask(mixture_NC, voice_NC, signal_config).voice_NC

    return estimate


def checkpoint_estimator(
    checkpoint: Path, which: Which | None = None
) -> tuple[Estimator, Callable[[TrackAudio], float]]:
    """Return what separates by a trained model, as `RunConfig.separation` says, and measures its real-time factor."""
    config, variables = load_model(checkpoint, which)
    separator = Separator(config, variables, load_level(checkpoint), separation=config.separation)

    def estimate(audio: TrackAudio, samples: int | None = None) -> Separated:
        stems = separator.separate(audio.mixture_NC[:samples], audio.sample_rate)
        return Separated(stems.voice_NC, stems.accompaniment_NC)

    def real_time_factor(audio: TrackAudio) -> float:
        estimate(audio, audio.sample_rate)  # compiles
        seconds: list[float] = []
        while len(seconds) < _TIMED_RUNS and sum(seconds) < _TIMED_SECONDS:
            start = time.perf_counter()
            estimate(audio)
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds)) * audio.sample_rate / len(audio.mixture_NC)

    return estimate, real_time_factor
