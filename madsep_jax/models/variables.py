"""Shapes and sizes of a model's variables, without computing any; those that evaluation takes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.models.registry import build_model
from madsep_jax.ops.choice import runs_fast
from madsep_jax.ops.fast_gru import with_kernels_by_rows


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


def inference_variables(config: RunConfig, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's variables without those that only training needs, laid out for speed on the present backend.

    `build_model(config.model).apply(variables, mag_BSF, train=False)` takes them and gives the same estimates.
    """
    variables = without_training_parts(variables)
    return with_kernels_by_rows(variables) if runs_fast("gru", config.compute.operations) else variables


#: Modules of a separator that only training uses.
TRAINING_PARTS = ("twin", "affine")


def without_training_parts(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's variables without those of the twin: all that evaluation needs."""
    return {
        collection: {part: tree for part, tree in parts.items() if part not in TRAINING_PARTS}
        for collection, parts in variables.items()
    }
