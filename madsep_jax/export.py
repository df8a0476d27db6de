"""Programs that are traced once and then travel: inference, and the train step.

What is exported is StableHLO, the compiler's input. To run it again takes neither the model's code nor any tracing;
compiling, for the machine that it then runs on, is still to be done (`madsep_jax.host.compiler` keeps that too). A
program runs on the kind of device that `ComputeConfig.target` names, for which its operations were chosen: by default
the one that it was exported on.

A program is code: like any other, it should come from someone trusted.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from madsep_jax.config.run import RunConfig
from madsep_jax.models import build_model
from madsep_jax.models.variables import without_training_parts
from madsep_jax.ops.precision import computing_in
from madsep_jax.train.batch import Batch, Metrics, TrainState, TrainStep, WaveformBatch, zero_batch
from madsep_jax.train.step import make_train_step


def export_forward(config: RunConfig, variables: Mapping[str, Any]) -> export.Exported:
    """Export inference for any batch size: from (variables, mag_BSF) to those fields of a `Separation` that it has.

    The variables, or their shapes, may have those that only training needs among them.
    """
    model = build_model(config.model)

    def forward(variables: Any, mag_BSF: jax.Array) -> dict[str, jax.Array]:
        with computing_in(config.compute, "float32"):
            separation: Any = model.apply(variables, mag_BSF, train=False)
        return {name: value for name, value in separation._asdict().items() if value is not None}

    (batch,) = export.symbolic_shape("batch")
    mag_BSF = jax.ShapeDtypeStruct((batch, config.sequences.frames, config.signal.bins), jnp.float32)
    variables = without_training_parts(config.masker, variables)
    return export.export(jax.jit(forward), platforms=_platforms(config))(variables, mag_BSF)


def export_train_step(config: RunConfig, state: TrainState) -> export.Exported:
    """Export the train step, for the config's batch size; `train_step_of` makes a `TrainStep` of it again.

    The program takes and returns the leaves of the state in a list, since no program can name the classes that hold
    them. To export it takes any state of the training, or its shapes.
    """
    step = make_train_step(config)
    leaves, structure = jax.tree.flatten(state)

    def step_of_leaves(leaves: list[jax.Array], batch: tuple[jax.Array, ...]) -> tuple[list[jax.Array], Metrics]:
        new_state, metrics = step(jax.tree.unflatten(structure, leaves), Batch(*batch))
        return jax.tree.leaves(new_state), metrics

    batch = tuple(jax.eval_shape(lambda: zero_batch(config)))
    return export.export(jax.jit(step_of_leaves), platforms=_platforms(config))(leaves, batch)


def _platforms(config: RunConfig) -> tuple[str, ...] | None:
    """Return what JAX calls the config's target, a GPU being one of NVIDIA; None for what this process has."""
    target = config.compute.target
    return None if target == "auto" else ("cuda" if target == "gpu" else target,)


def train_step_of(program: export.Exported) -> TrainStep:
    """Return the train step that a program of `export_train_step` holds: to be jitted, the state donated."""

    def train_step(state: TrainState, batch: Batch | WaveformBatch) -> tuple[TrainState, Metrics]:
        leaves, structure = jax.tree.flatten(state)
        new_leaves, metrics = program.call(leaves, tuple(batch))
        return jax.tree.unflatten(structure, new_leaves), metrics

    return train_step
