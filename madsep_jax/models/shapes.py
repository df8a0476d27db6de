"""Shapes and sizes of a model's variables, without computing any."""

from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config import ModelConfig
from madsep_jax.models.build import build_model
from madsep_jax.models.twin import TRAINING_PARTS


def variable_shapes(config: ModelConfig) -> Any:
    """Return the model's variables as `jax.ShapeDtypeStruct`s."""
    mag_BSF = jax.ShapeDtypeStruct((1, 2 * config.context_frames + 1, config.bins), jnp.float32)
    return jax.eval_shape(build_model(config).init, jax.random.key(0), mag_BSF)


def parameter_counts(config: ModelConfig, train: bool = False) -> dict[str, int]:
    """Return the number of trained parameters of each part; BatchNorm's statistics are none.

    The parts are those that separate (`masker`, `denoiser`); with `train` also those that MaD TwinNet only trains with
    (`twin`, `affine`).
    """
    params = variable_shapes(config)["params"]
    return {
        part: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for part, tree in params.items()
        if train or part not in TRAINING_PARTS
    }
