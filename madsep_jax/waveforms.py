"""Training sequences as samples: the magnitudes are computed on the device, equal to those cut from a whole song's.

Frame k of a song covers the samples from (k - 3) * hop on (`madsep_jax.stft`), so the S frames of a sequence lie in one
window of N = (S - 1) * hop + window_length samples. Frames before a song's first and after its last are silent there
even where their window reaches into the song, so a batch says which frames are the song's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from madsep_jax.config import SequenceConfig, SignalConfig
from madsep_jax.framing import first_frame
from madsep_jax.stft import EDGE_HOPS, analyse_frames, cut_frames, full_frame_count

_FULL_SCALE = 2**15


class WaveformBatch(NamedTuple):
    """Samples of one batch of sequences, either int16 or floating point with ±1 as full scale."""

    mix_BNC: ArrayLike
    voice_BNC: ArrayLike
    frames_B2: ArrayLike
    """First frame of each sequence that is the song's, and the one after the last; int32, 0…S."""


def window_samples(signal: SignalConfig, sequences: SequenceConfig) -> int:
    """Return N, the samples that a sequence's frames cover."""
    return (sequences.frames - 1) * signal.hop_length + signal.window_length


def window_start(index: int, signal: SignalConfig, sequences: SequenceConfig) -> int:
    """Return the sample of the song at which the window of its sequence of that number starts; it may be negative."""
    return (first_frame(index, sequences) - EDGE_HOPS) * signal.hop_length


def song_frames(index: int, samples: int, signal: SignalConfig, sequences: SequenceConfig) -> tuple[int, int]:
    """Return which frames of a sequence are those of a song of so many samples: the first, and one past the last."""
    start = first_frame(index, sequences)
    full = full_frame_count(samples, signal)
    first, end = np.clip([-start, full - start], 0, sequences.frames)
    return int(first), int(end)


def magnitudes_of(batch: WaveformBatch, signal: SignalConfig, sequences: SequenceConfig) -> tuple[jax.Array, jax.Array]:
    """Return the magnitudes of the channels' average: of the mixture (B, S, F), of the voice's middle frames (B, T, F).

    To be jitted. Float32, or float64 of float64 samples.
    """
    frames_B2 = jnp.asarray(batch.frames_B2)
    lead = sequences.context * signal.hop_length
    voice_BNC = jnp.asarray(batch.voice_BNC)[:, lead : jnp.shape(batch.voice_BNC)[1] - lead]
    mix_BSF = _magnitudes(jnp.asarray(batch.mix_BNC), frames_B2, sequences.frames, signal)
    voice_BTF = _magnitudes(voice_BNC, frames_B2 - sequences.context, sequences.target_frames, signal)
    return mix_BSF, voice_BTF


def _magnitudes(samples_BNC: jax.Array, frames_B2: jax.Array, count: int, signal: SignalConfig) -> jax.Array:
    if jnp.issubdtype(samples_BNC.dtype, jnp.integer):
        samples_BNC = samples_BNC.astype(jnp.float32) / _FULL_SCALE
    mag_BSF = jnp.abs(analyse_frames(cut_frames(samples_BNC.mean(axis=2), count, signal), signal))
    number_S = jnp.arange(count)
    inside_BS = (number_S >= frames_B2[:, :1]) & (number_S < frames_B2[:, 1:])
    return jnp.where(inside_BS[..., None], mag_BSF, 0)
