"""The rows that give a table of scores its scale: no separation at all, and the best that a ratio mask can do."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from madsep_jax.config import SignalConfig
from madsep_jax.stft import istft, stft


class Estimates(NamedTuple):
    """Estimates of both sources: arrays (N, C)."""

    voice_NC: np.ndarray
    accompaniment_NC: np.ndarray


def mixture_as_voice(mixture_NC: np.ndarray) -> Estimates:
    """Return the mixture, unprocessed and unscaled, as the estimate of both sources: the floor of the scale.

    Mixture - mixture as the accompaniment would be silence, for which BSSEval has no score, and which takes the
    voice's scores away with it.
    """
    mixture_NC = np.asarray(mixture_NC)
    return Estimates(mixture_NC, mixture_NC)


def ideal_ratio_mask(mixture_NC: np.ndarray, voice_NC: np.ndarray, signal_config: SignalConfig) -> Estimates:
    """Return what a mask made from the true magnitudes separates: the ceiling of the scale.

    The mask |V| / (|V| + |A|), with A the transform of mixture - voice and 0 where both are 0, is applied to the
    mixture's transform, channel by channel. The accompaniment is the mixture less the voice estimate: what the
    complementary mask would give.

    Args:
        mixture_NC: the mixture's samples.
        voice_NC: the true voice, of the same shape.
        signal_config: the transform's window, hop and length.

    Returns:
        Both estimates, (N, C), in the precision of the transform (float32 unless JAX has float64 enabled).

    Raises:
        ValueError: arrays that are not of one shape (N, C).

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
    return Estimates(estimate_NC, mixture_NC.astype(estimate_NC.dtype) - estimate_NC)
