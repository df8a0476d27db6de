"""Magnitude spectrogram of a whole song, computed in blocks of one fixed shape, so that it compiles once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.config import SignalConfig
from madsep_jax.stft import analyse_frames, cut_frames, frame_count, full_frame_count

_BLOCK_FRAMES = 1024


def mono_magnitudes(samples_NC: np.ndarray, config: SignalConfig) -> np.ndarray:
    """Return |STFT| of the average of the channels: float32 (frames, F), equal to that of `madsep_jax.stft.stft`."""
    mono_N = np.asarray(samples_NC, np.float32).mean(axis=1)
    full = full_frame_count(len(mono_N), config)
    mag_MF = np.zeros((frame_count(len(mono_N), config), config.bins), np.float32)
    hop = config.hop_length
    block_samples = (_BLOCK_FRAMES - 1) * hop + config.window_length
    blocks = range(0, full, _BLOCK_FRAMES)
    padded_N = np.zeros(max(blocks[-1] * hop + block_samples, 3 * hop + len(mono_N)), np.float32)
    padded_N[3 * hop : 3 * hop + len(mono_N)] = mono_N
    for start in blocks:
        count = min(_BLOCK_FRAMES, full - start)
        block_MF = _block_magnitudes(padded_N[start * hop : start * hop + block_samples], config)
        mag_MF[start : start + count] = block_MF[:count]
    return mag_MF


@functools.partial(jax.jit, static_argnames="config")
def _block_magnitudes(samples_N: jax.Array, config: SignalConfig) -> jax.Array:
    return jnp.abs(analyse_frames(cut_frames(samples_N, _BLOCK_FRAMES, config), config))
