"""Programs that are traced once and then travel: inference, and the train step.

What is exported is StableHLO, the compiler's input. To run it again takes neither the model's code nor any tracing;
compiling, for the machine that it then runs on, is still to be done (`madsep_jax.host.compiler` keeps that too). A
program runs on the kind of device that it was exported on, for which its operations were chosen.

A trained separator is one file: an `.npz` archive without pickled objects, as `numpy.load` reads it.

- `config`: the `RunConfig` as JSON text.
- `program`: bytes, the serialised `jax.export.Exported` of `export_forward`. S and F are those of the config, the batch
  size is free.
- `variables/…`: each weight and running statistic, its path in the name.

A program is code: like any other, it should come from someone trusted.
"""

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export
from jax.typing import ArrayLike

from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import Separation, build_model
from madsep_jax.models.variables import without_training_parts
from madsep_jax.train.batch import Batch, WaveformBatch, zero_batch
from madsep_jax.train.state import Metrics, TrainState, TrainStep
from madsep_jax.train.step import make_train_step


def export_forward(config: RunConfig, variables: Mapping[str, Any]) -> export.Exported:
    """Export inference for any batch size: from (variables, mag_BSF) to those fields of a `Separation` that it has.

    Args:
        config: of the model.
        variables: its variables, or their shapes; those that only training needs may be among them.
    """
    model = build_model(config.model)

    def forward(variables: Any, mag_BSF: jax.Array) -> dict[str, jax.Array]:
        separation: Any = model.apply(variables, mag_BSF, train=False)
        return {name: value for name, value in separation._asdict().items() if value is not None}

    (batch,) = export.symbolic_shape("batch")
    mag_BSF = jax.ShapeDtypeStruct((batch, config.sequences.frames, config.signal.bins), jnp.float32)
    return export.export(jax.jit(forward))(without_training_parts(config.masker, variables), mag_BSF)


def export_train_step(config: RunConfig, state: TrainState) -> export.Exported:
    """Export the train step, for the config's batch size; `train_step_of` makes a `TrainStep` of it again.

    The program takes and returns the leaves of the state in a list, since no program can name the classes that hold
    them.

    Args:
        config: of the training.
        state: any state of it, or its shapes.
    """
    step = make_train_step(config)
    leaves, structure = jax.tree.flatten(state)

    def step_of_leaves(leaves: list[jax.Array], batch: tuple[jax.Array, ...]) -> tuple[list[jax.Array], Metrics]:
        new_state, metrics = step(jax.tree.unflatten(structure, leaves), Batch(*batch))
        return jax.tree.leaves(new_state), metrics

    return export.export(jax.jit(step_of_leaves))(leaves, tuple(jax.eval_shape(lambda: zero_batch(config))))


def train_step_of(program: export.Exported) -> TrainStep:
    """Return the train step that a program of `export_train_step` holds: to be jitted, the state donated."""

    def train_step(state: TrainState, batch: Batch | WaveformBatch) -> tuple[TrainState, Metrics]:
        leaves, structure = jax.tree.flatten(state)
        new_leaves, metrics = program.call(leaves, tuple(batch))
        return jax.tree.unflatten(structure, new_leaves), metrics

    return train_step


_VARIABLES = "variables/"


@dataclass(frozen=True)
class ExportedSeparator:
    """A separator that needs none of the model's code."""

    config: RunConfig
    variables: Mapping[str, Any]
    program: export.Exported

    def __call__(self, mag_BSF: ArrayLike) -> Separation:
        """Estimate the voice as the model itself would; compiled once for each batch size."""
        fields = self._compiled(self.variables, jnp.asarray(mag_BSF, jnp.float32))
        return Separation(**{"masker_BTF": None, **fields})

    @functools.cached_property
    def _compiled(self) -> Any:
        return jax.jit(self.program.call, compiler_options=compiler_options())


def write_separator(path: Path, config: RunConfig, variables: Mapping[str, Any]) -> None:
    """Export a trained separator to a file, which comes into place whole or not at all.

    Args:
        path: of the file; one already there is replaced.
        config: of the trained model, as `madsep_jax.checkpoint.folder.load_model` returns it.
        variables: the trained weights; those that only training needs are left out.

    Raises:
        InputError: where the file cannot be written.
    """
    variables = without_training_parts(config.masker, variables)
    program = np.frombuffer(export_forward(config, variables).serialize(), np.uint8)
    weights = flatten_dict(variables, sep="/")
    arrays: dict[str, Any] = {f"{_VARIABLES}{name}": np.asarray(leaf) for name, leaf in weights.items()}
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, config=np.asarray(json.dumps(to_dict(config))), program=program, **arrays)
        aside.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def read_separator(path: Path) -> ExportedSeparator:
    """Read a separator that `write_separator` wrote.

    Raises:
        InputError: where the file is missing, damaged or something else, or was exported on another kind of device.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        config = from_dict(RunConfig, json.loads(str(arrays.pop("config"))), str(path))
        program = export.deserialize(bytearray(arrays.pop("program").tobytes()))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and the reader of programs raise many kinds for damaged files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be read, expected an exported separator: {reason}") from error
    if jax.default_backend() not in program.platforms:
        raise InputError(
            f"{path}: found a program for {' or '.join(program.platforms)}, expected one for {jax.default_backend()}"
        )
    weights = {name.removeprefix(_VARIABLES): jnp.asarray(array) for name, array in arrays.items()}
    return ExportedSeparator(config, unflatten_dict(weights, sep="/"), program)
