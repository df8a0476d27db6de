"""Every setting of a run, as frozen dataclasses: the one place where a default lives.

[1] is in all files of this folder Pyykkönen, Mimilakis, Drossos, Virtanen: Depthwise Separable Convolutions Versus
Recurrent Neural Networks for Monaural Singing Voice Separation, 2020 (arXiv:2007.02683), whose settings the defaults
are. Presets (`madsep_jax.config.presets`) are differences from them.
"""

from madsep_jax.config.maskers import (
    AutoencoderConfig,
    DilatedConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    MaskerConfig,
    MinGruMaskerConfig,
)
from madsep_jax.config.own import OwnConfig
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.run import ComputeConfig, LossConfig, ModelConfig, RunConfig
from madsep_jax.config.signal import DataConfig, SequenceConfig, SignalConfig
from madsep_jax.config.training import EarlyStoppingConfig, ScheduleConfig, TrainingConfig

__all__ = [
    "AutoencoderConfig",
    "ComputeConfig",
    "DataConfig",
    "DilatedConfig",
    "DwsMaskerConfig",
    "EarlyStoppingConfig",
    "GruMaskerConfig",
    "LossConfig",
    "MaskerConfig",
    "MinGruMaskerConfig",
    "ModelConfig",
    "OwnConfig",
    "ParallelConfig",
    "ProcessesConfig",
    "RunConfig",
    "ScheduleConfig",
    "SequenceConfig",
    "SignalConfig",
    "TrainingConfig",
]
