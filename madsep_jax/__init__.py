"""Masker-Denoiser singing-voice separation: recurrent and depthwise-separable, in JAX and Flax Linen.

Settings and errors are there at once, what computes is imported when it is asked for: JAX takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

from madsep_jax.config.maskers import (
    AutoencoderConfig,
    DilatedConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    MinGruMaskerConfig,
)
from madsep_jax.config.run import ComputeConfig, LossConfig, ModelConfig, RunConfig
from madsep_jax.config.signal import DataConfig, SeparationConfig, SequenceConfig, SignalConfig
from madsep_jax.config.training import EarlyStoppingConfig, ScheduleConfig, TrainingConfig
from madsep_jax.errors import InputError

if TYPE_CHECKING:
    from madsep_jax.comparison import Song, compare
    from madsep_jax.models import Separation, build_model
    from madsep_jax.separation import separate, separate_blocks
    from madsep_jax.separator import Separator, Stems
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
    "MinGruMaskerConfig",
    "ModelConfig",
    "RunConfig",
    "ScheduleConfig",
    "Separation",
    "SeparationConfig",
    "Separator",
    "SequenceConfig",
    "SignalConfig",
    "Song",
    "Stems",
    "TrainingConfig",
    "build_model",
    "compare",
    "istft",
    "separate",
    "separate_blocks",
    "stft",
]

_LATER = {
    "Separation": "madsep_jax.models",
    "Separator": "madsep_jax.separator",
    "Song": "madsep_jax.comparison",
    "Stems": "madsep_jax.separator",
    "build_model": "madsep_jax.models",
    "compare": "madsep_jax.comparison",
    "istft": "madsep_jax.signal.stft",
    "separate": "madsep_jax.separation",
    "separate_blocks": "madsep_jax.separation",
    "stft": "madsep_jax.signal.stft",
}


def __getattr__(name: str) -> Any:
    """Import what computes."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    """Return all names, also of what is not imported yet."""
    return sorted({*globals(), *__all__})
