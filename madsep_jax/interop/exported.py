"""A model of this project in one file of published names: its parameters, and in the header what these cannot tell."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.config.own import OwnConfig
from madsep_jax.config.run import ModelConfig, RunConfig
from madsep_jax.errors import InputError, shown
from madsep_jax.interop.files import read_metadata, read_state_dict, write_safetensors
from madsep_jax.interop.state_dict import from_torch, to_torch
from madsep_jax.models.variables import variable_shapes

ENDING = ".safetensors"

#: Names in the header of a file: of the configuration, and of the level of the training's mixtures.
_CONFIG, _LEVEL = "madsep_jax.config", "madsep_jax training level"


class Header(NamedTuple):
    """What `write_model` has kept beside the parameters."""

    config: RunConfig
    training_level: float | None
    """Of the training's mixtures, see `madsep_jax.checkpoint.folder.load_level`; None where it is not known."""


def write_model(
    path: Path, config: RunConfig, variables: Mapping[str, Any], training_level: float | None = None
) -> int:
    """Write a model into a `.safetensors` file, with the published names; returns the number of its arrays.

    A masker of somebody's own has none: its arrays are written with their paths, `params/masker/…`.

    Raises:
        InputError: where the system has no published names, the file has another ending, or cannot be written.
    """
    check_ending(path)
    if has_own_names(config):
        paths = traverse_util.flatten_dict(dict(variables), sep="/")
        state_dict = {name: np.asarray(array, np.float32) for name, array in paths.items()}
    else:
        state_dict = to_torch(config.model, variables)
    level = {} if training_level is None else {_LEVEL: training_level}
    write_safetensors(path, state_dict, metadata={_CONFIG: to_dict(config), **level})
    return len(state_dict)


def has_own_names(config: RunConfig) -> bool:
    """Whether the arrays of a file have our paths in the place of published names."""
    return isinstance(config.masker, OwnConfig)


def check_ending(path: Path) -> None:
    """Raise InputError unless a file to be written ends in `.safetensors`."""
    if path.suffix != ENDING:
        raise InputError(f"{shown(path)}: found the ending {path.suffix!r}, expected {ENDING}")


def read_header(path: Path) -> Header | None:
    """Return what `write_model` has kept; None for any other file. Raises InputError where it is not as it was."""
    written = read_metadata(path)
    if _CONFIG not in written:
        return None
    level = written.get(_LEVEL)
    if level is not None and not (isinstance(level, float) and 0 < level < np.inf):
        raise InputError(f"{shown(path)}: found the training level {level!r}, expected a positive number")
    return Header(from_dict(RunConfig, written[_CONFIG], f"{shown(path)}: configuration"), level)


def read_model(path: Path) -> tuple[RunConfig, dict[str, Any], float | None]:
    """Return config, variables and training level of a file that `write_model` has written.

    Raises:
        InputError: where it is another file, is damaged or cannot be read.
    """
    state_dict, header = read_state_dict(path), read_header(path)
    if header is None:
        found = "found parameters without a configuration, expected a file of `madsep export`"
        raise InputError(f"{shown(path)}: {found} (`madsep import` makes a checkpoint of any other)")
    config, level = header
    if has_own_names(config):
        expected = traverse_util.flatten_dict(variable_shapes(config.model), sep="/")
        if {name: array.shape for name, array in state_dict.items()} != {n: one.shape for n, one in expected.items()}:
            raise InputError(f"{shown(path)}: found other arrays than its model has")
        return config, traverse_util.unflatten_dict(state_dict, sep="/"), level
    model, variables = from_torch(state_dict, context_frames=config.sequences.context)
    check_architecture(config.model, model)
    return config, jax.tree.map(lambda array: np.asarray(array, np.float32), variables), level


def check_architecture(config: ModelConfig, found: ModelConfig) -> None:
    """Raise InputError where a file's configuration is not that of its weights."""
    for name in ("kind", *found.masker.told_by_weights):
        ours, theirs = getattr(config.masker, name, None), getattr(found.masker, name, None)
        if ours != theirs:
            raise InputError(f"configuration in the file: found {name} {ours!r}, expected {theirs!r} as of its arrays")
    if config.bins != found.bins:
        raise InputError(f"configuration in the file: found {config.bins} bins, expected {found.bins} as of its arrays")
