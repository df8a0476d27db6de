"""What a training step takes and returns: batches, what a model reads and learns of them, and the state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from madsep_jax.config.run import LossConfig, RunConfig
from madsep_jax.config.signal import SequenceConfig, SignalConfig
from madsep_jax.ops.precision import widened
from madsep_jax.signal.framing import middle_frames
from madsep_jax.signal.level import energy_of_magnitudes
from madsep_jax.signal.stft import analyse_frames, cut_frames


class Batch(NamedTuple):
    """Magnitudes of one batch of sequences; those of 16 bits are computed with in float32."""

    mix_BSF: ArrayLike
    voice_BTF: ArrayLike


class WaveformBatch(NamedTuple):
    """Samples of one batch of sequences, either int16 or floating point with ±1 as full scale."""

    mix_BNC: ArrayLike
    voice_BNC: ArrayLike
    frames_B2: ArrayLike
    """First frame of each sequence that is the song's, and the one after the last; int32, 0…S."""


def magnitudes(batch: Batch | WaveformBatch, config: RunConfig) -> tuple[jax.Array, jax.Array]:
    """Return the magnitudes of mixture (B, S, F) and voice (B, T, F), in float32 at least; waveforms are analysed."""
    if isinstance(batch, WaveformBatch):
        return magnitudes_of(batch, config.signal, config.sequences)
    mix_BSF, voice_BTF = (widened(jnp.asarray(mag)) for mag in batch)
    return mix_BSF, voice_BTF


def input_and_target(mix_BSF: jax.Array, voice_BTF: jax.Array, config: LossConfig) -> tuple[jax.Array, jax.Array]:
    """Return what the model reads and what it is to learn, from the magnitudes of mixture and voice.

    `magnitude` takes both as they are. `ratio_mask` is the released code's choice: the mixture m is clipped to 0…1,
    and the target is 2·m·v / (v + m), clipped as well.
    """
    if config.target == "magnitude":
        return mix_BSF, voice_BTF
    mix_BTF = middle_of(mix_BSF, voice_BTF)
    both_BTF = mix_BTF + voice_BTF
    ratio_BTF = jnp.where(both_BTF > 0, voice_BTF / jnp.where(both_BTF > 0, both_BTF, 1), 0)
    return clip_input(mix_BSF, config), jnp.clip(2 * mix_BTF * ratio_BTF, 0, 1)


def middle_of(mix_BSF: jax.Array, voice_BTF: jax.Array) -> jax.Array:
    """Drop the context frames of the mixture: those that the voice does not have."""
    return middle_frames(mix_BSF, (mix_BSF.shape[1] - voice_BTF.shape[1]) // 2)


def clip_input(mag: jax.Array, config: LossConfig) -> jax.Array:
    """Return the mixture's magnitudes as the model reads them."""
    return mag if config.target == "magnitude" else jnp.clip(mag, 0, 1)


def zero_batch(config: RunConfig) -> Batch:
    """Return a batch of silence, of the shape that the config's training takes."""
    size, sequences, bins = config.training.batch_size, config.sequences, config.signal.bins
    return Batch(jnp.zeros((size, sequences.frames, bins)), jnp.zeros((size, sequences.target_frames, bins)))


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


def energy_of(batch: Batch | WaveformBatch, signal: SignalConfig) -> tuple[float, int]:
    """Return the energy of the mixtures' samples, the channels averaged, and the number of these, silence left out.

    Of magnitudes it is that of the samples that they are of (Parseval). Computed by NumPy, in float64.
    """
    if isinstance(batch, WaveformBatch):
        mix_BNC = np.asarray(batch.mix_BNC)
        full_scale = 2**15 if np.issubdtype(mix_BNC.dtype, np.integer) else 1
        mono_N = mix_BNC.mean(axis=2, dtype=np.float64).ravel() / full_scale
        return float(mono_N @ mono_N), int(np.count_nonzero(mono_N))
    mix_BSF = np.asarray(batch.mix_BSF)
    return energy_of_magnitudes(mix_BSF.reshape(-1, mix_BSF.shape[-1]), signal)


def _magnitudes(samples_BNC: jax.Array, frames_B2: jax.Array, count: int, signal: SignalConfig) -> jax.Array:
    if jnp.issubdtype(samples_BNC.dtype, jnp.integer):
        samples_BNC = samples_BNC.astype(jnp.float32) / 2**15  # full scale
    mag_BSF = jnp.abs(analyse_frames(cut_frames(samples_BNC.mean(axis=2), count, signal), signal))
    number_S = jnp.arange(count)
    inside_BS = (number_S >= frames_B2[:, :1]) & (number_S < frames_B2[:, 1:])
    return jnp.where(inside_BS[..., None], mag_BSF, 0)


@struct.dataclass
class TrainState:
    """All that a step changes."""

    step: jax.Array
    """Steps done."""
    params: Any
    batch_stats: Any
    """BatchNorm's running statistics; empty for a model without any."""
    opt_state: Any
    dropout_key: jax.Array
    """Stays as it is: each step folds its number into it."""
    gradient: Any = None
    """The last step's; nothing reads it. A step writes its own over it, in place of memory that it would ask the system
    for anew, page by page: on a CPU a seventh of a MaD's step. None for a state that keeps none."""

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.batch_stats else {"params": self.params}


Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch | WaveformBatch], tuple[TrainState, Metrics]]
