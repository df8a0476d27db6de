"""Every setting of a run, as frozen dataclasses: the one place where a default lives."""

from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig, DwsMaskerConfig, GruMaskerConfig, MaskerConfig
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
    "ModelConfig",
    "ParallelConfig",
    "ProcessesConfig",
    "RunConfig",
    "ScheduleConfig",
    "SequenceConfig",
    "SignalConfig",
    "TrainingConfig",
]
