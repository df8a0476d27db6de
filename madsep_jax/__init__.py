"""Masker-Denoiser singing-voice separation: recurrent and depthwise-separable, in JAX and Flax Linen."""

from madsep_jax.config import (
    AutoencoderConfig,
    ComputeConfig,
    DataConfig,
    DilatedConfig,
    DwsMaskerConfig,
    EarlyStoppingConfig,
    GruMaskerConfig,
    LossConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    SequenceConfig,
    SignalConfig,
    TrainingConfig,
)
from madsep_jax.errors import InputError
from madsep_jax.models import Separation, build_model
from madsep_jax.separation import separate

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
    "SequenceConfig",
    "SignalConfig",
    "TrainingConfig",
    "build_model",
    "separate",
]
