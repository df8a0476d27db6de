"""Shapes and sizes of a model's variables, without computing any; those that evaluation takes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config.maskers import MaskerConfig
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.models.registry import architecture_of, build_model


def variable_shapes(config: ModelConfig) -> Any:
    """Return the model's variables as `jax.ShapeDtypeStruct`s."""
    mag_BSF = jax.ShapeDtypeStruct((1, 2 * config.context_frames + 1, config.bins), jnp.float32)
    return jax.eval_shape(build_model(config).init, jax.random.key(0), mag_BSF)


def parameter_counts(config: ModelConfig, train: bool = False) -> dict[str, int]:
    """Return the number of trained parameters of each part; BatchNorm's statistics are none.

    The parts are those that separate (`masker`, `denoiser`); with `train` also those that only training uses.
    """
    shapes = variable_shapes(config)
    params = (shapes if train else without_training_parts(config.masker, shapes))["params"]
    return {part: sum(leaf.size for leaf in jax.tree.leaves(tree)) for part, tree in params.items()}


def inference_variables(config: RunConfig, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's variables without those that only training needs, laid out for speed on the present backend.

    `build_model(config.model).apply(variables, mag_BSF, train=False)` takes them and gives the same estimates.
    """
    layout = architecture_of(config.masker).evaluation_layout
    return layout(without_training_parts(config.masker, variables), config.compute)


def without_training_parts(masker: MaskerConfig, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's variables without those of its masker's training parts: all that evaluation needs."""
    left_out = architecture_of(masker).training_parts
    return {
        collection: {part: tree for part, tree in parts.items() if part not in left_out}
        for collection, parts in variables.items()
    }
