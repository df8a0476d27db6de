"""A checkpoint of a tiny model whose estimate is known beforehand."""

import dataclasses
from pathlib import Path

import jax
from tiny import GRU

from madsep_jax.checkpoint.folder import save_checkpoint
from madsep_jax.train.step import init_state


def save_model(folder: Path, mask: float, noise: float) -> None:
    """Save a model whose estimate is about `mask` times the mixture: the random weights are scaled by `noise`."""
    state = init_state(GRU)
    params = jax.tree.map(lambda leaf: leaf * noise, state.params)
    params["masker"]["mask_layer"]["bias"] += mask
    params["denoiser"]["decoder"]["bias"] += 1
    save_checkpoint(folder, GRU, dataclasses.replace(state, params=params))
