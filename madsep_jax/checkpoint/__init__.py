"""Checkpoints: a folder with config.json and the parameters and state of some steps."""

from madsep_jax.checkpoint.folder import (
    load_config,
    load_level,
    load_model,
    restore_state,
    restore_training,
    save_checkpoint,
    save_model,
)

__all__ = [
    "load_config",
    "load_level",
    "load_model",
    "restore_state",
    "restore_training",
    "save_checkpoint",
    "save_model",
]
