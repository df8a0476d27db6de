"""Masker-Denoiser singing-voice separation: recurrent and depthwise-separable, in JAX and Flax Linen."""

from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig, DwsMaskerConfig, GruMaskerConfig
from madsep_jax.config.run import ComputeConfig, LossConfig, ModelConfig, RunConfig
from madsep_jax.config.signal import DataConfig, SeparationConfig, SequenceConfig, SignalConfig
from madsep_jax.config.training import EarlyStoppingConfig, ScheduleConfig, TrainingConfig
from madsep_jax.errors import InputError
from madsep_jax.models import Separation, build_model
from madsep_jax.separation import separate, separate_blocks
from madsep_jax.signal.stft import istft, stft

__all__ = [
    "AutoencoderConfig",
    "ComputeConfig",
    "DataConfig",
    "DilatedConfig",
    "DwsMaskerConfig",
    "EarlyStoppingConfig",
    "GruMaskerConfig",
    "InputError",
    "LossConfig",
    "ModelConfig",
    "RunConfig",
    "ScheduleConfig",
    "Separation",
    "SeparationConfig",
    "SequenceConfig",
    "SignalConfig",
    "TrainingConfig",
    "build_model",
    "istft",
    "separate",
    "separate_blocks",
    "stft",
]
