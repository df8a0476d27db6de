"""Checkpoints: a folder with `config.json` and a folder for each step that is kept. Each of these holds weights that
load by themselves, the rest of the training's state, and notes.
"""

import dataclasses
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax

from madsep_jax.checkpoint.checks import MisfitError
from madsep_jax.checkpoint.steps import OrbaxSteps, Score
from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import SavingConfig, Which
from madsep_jax.errors import InputError, shown
from madsep_jax.host.environment import environment
from madsep_jax.host.files import is_there, read_json, reading, write_json
from madsep_jax.models.variables import variable_shapes
from madsep_jax.train.batch import TrainState

_CONFIG = "config.json"
_LEVEL = "training_level"
_WEIGHTS = "weights"
_TRAINING = "training"
_ITEMS = (_WEIGHTS, _TRAINING)

_SAVING = SavingConfig()


class CheckpointWriter(OrbaxSteps):
    """Saves the states of a training into a folder, in the background."""

    def __init__(
        self, folder: Path, config: RunConfig, saving: SavingConfig = _SAVING, level: float | None = None
    ) -> None:
        """Open the folder, and make it where there is none. Raises InputError where it cannot be written.

        `level` is that of the training's mixtures, see `load_level`; None where it is not known.
        """
        self._notes = {"config": to_dict(config), "environment": environment()}
        try:
            write_json(folder / _CONFIG, {**self._notes, **({_LEVEL: level} if level else {})})
        except OSError as error:
            raise InputError(f"{shown(folder)}: cannot be written: {error.strerror or error}") from error
        super().__init__(folder, _ITEMS, saving)

    def save(self, state: TrainState, notes: Mapping[str, Any] | None = None, score: Score | None = None) -> None:
        """Copy a state and begin to write it; its buffers may be given up at once.

        The notes, a JSON object, come back with the state; the config and the versions of the environment are added.

        Raises:
            InputError: where this state, or the last one, cannot be written.
        """
        # On a CPU these are views of the state's own memory, which cannot be donated while there are any. Orbax copies
        # them before it returns, and no view may be kept.
        items = {_WEIGHTS: jax.device_get(state.variables), _TRAINING: jax.device_get(_training_items(state))}
        self.write(int(state.step), items, {**(notes or {}), **self._notes}, score)

    def save_weights(self, variables: Any) -> None:
        """Save a model that has no training state, as step 0. Raises InputError as `save` does."""
        self.write(0, {_WEIGHTS: jax.device_get(variables)}, self._notes)


@dataclass(frozen=True)
class Restored:
    """A training's state, and the notes that were saved with it."""

    state: TrainState
    notes: dict[str, Any]


def save_checkpoint(folder: str | os.PathLike[str], config: RunConfig, state: TrainState) -> None:
    """Save one state, and wait for it. One of another step is replaced once this is whole, one of this step before."""
    with CheckpointWriter(Path(folder), config, SavingConfig(keep_last=1)) as writer:
        writer.save(state)


def save_model(folder: str | os.PathLike[str], config: RunConfig, variables: Any, level: float | None = None) -> None:
    """Save a model, and its `load_level`, without a training state: a checkpoint from which no training goes on.

    Raises:
        InputError: where the folder holds anything, or cannot be written.
    """
    folder = Path(folder)
    with reading(folder, "a new or an empty one"):
        in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if in_use:
        raise InputError(f"{shown(folder)}: is there already, expected a new or an empty folder")
    with CheckpointWriter(folder, config, SavingConfig(keep_last=1), level) as writer:
        writer.save_weights(variables)


def scored_weights(config: RunConfig) -> Which:
    """Return which weights a training is judged by: the best where its validation may end it, else the latest."""
    return "latest" if config.training.early_stopping.patience is None else "best"


def load_model(folder: str | os.PathLike[str], which: Which | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """Return the config of a checkpoint and its variables, for `build_model(config.model).apply`.

    Args:
        folder: of the checkpoint, or of an ablation's row.
        which: of the weights that were kept; None for those of `scored_weights`.

    Raises:
        InputError: where the folder holds no checkpoint, or one that is damaged or cannot be read.
    """
    folder = find_checkpoint(folder)
    config, step = load_config(folder), weights_of(folder, which).step
    with OrbaxSteps(folder, _ITEMS) as steps:
        return config, steps.restore(step, _WEIGHTS, variable_shapes(config.model))


class Weights(NamedTuple):
    """Which weights of a checkpoint, and after which step they were saved."""

    which: Which
    step: int

    def __str__(self) -> str:
        return f"{self.which} weights, step {self.step:,}"


def weights_of(folder: str | os.PathLike[str], which: Which | None = None) -> Weights:
    """Return which weights `load_model` takes; raises InputError as it does."""
    folder = find_checkpoint(folder)
    which = which or scored_weights(load_config(folder))
    with OrbaxSteps(folder, _ITEMS) as steps:
        step = steps.best() if which == "best" else max(steps.all(), default=None)
    if step is None:
        raise InputError(f"{shown(folder)}: no weights, expected a folder that training has saved")
    return Weights(which, step)


def load_config(folder: str | os.PathLike[str]) -> RunConfig:
    """Return the config of a checkpoint. Raises InputError where the folder holds none, or it cannot be read."""
    return from_dict(RunConfig, _content(Path(folder))["config"], shown(Path(folder) / _CONFIG))


def load_level(folder: str | os.PathLike[str]) -> float | None:
    """Return the level of the mixtures that a checkpoint was trained on: their root mean square, ±1 being full scale.

    None where it is not known: of imported weights, and of trainings before it was written down. Raises InputError
    where the folder, that of a row or its checkpoint's, holds none.
    """
    folder = find_checkpoint(folder)
    level = _content(folder).get(_LEVEL)
    if level is not None and not (isinstance(level, float) and 0 < level < math.inf):
        found = f"found the level {level!r}, expected a positive number"
        raise InputError(f"{shown(folder / _CONFIG)}: is damaged, {found}")
    return level


def _content(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    if not is_there(path):
        raise InputError(f"{shown(folder)}: not a checkpoint, expected a folder with {_CONFIG} and weights")
    content = read_json(path)
    if not isinstance(content, dict) or "config" not in content:
        raise InputError(f"{shown(path)}: is damaged, expected the configuration of a training")
    return content


def restore_state(folder: str | os.PathLike[str], template: TrainState) -> TrainState | None:
    """Return the state of `restore_training` alone."""
    restored = restore_training(folder, template)
    return restored.state if restored else None


def restore_training(
    folder: str | os.PathLike[str], template: TrainState, warn: Callable[[str], None] = lambda line: None
) -> Restored | None:
    """Return the newest state that is whole, on one device, and its notes; None where nothing has been saved yet.

    Newer ones, which are damaged, are moved aside and reported, a line each.

    Raises:
        InputError: where all of them are damaged, or are of another configuration.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    damaged: dict[int, InputError] = {}
    with OrbaxSteps(folder, _ITEMS) as steps:
        for step in reversed(steps.all()):
            try:
                restored = Restored(_restore_state(steps, step, template), steps.notes(step))
                break
            except MisfitError:
                raise
            except InputError as error:
                damaged[step] = error
        else:
            if not damaged:
                return None
            raise damaged[max(damaged)]
    for newer, reason in damaged.items():
        aside = folder / f"damaged-{newer}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            (folder / str(newer)).rename(aside)
        except OSError as error:
            raise InputError(f"{reason}; and it cannot be moved to {aside.name}: {error.strerror}") from None
        warn(f"{reason}; moved to {aside.name}, going on from step {step}")
    return restored


def _restore_state(steps: OrbaxSteps, step: int, template: TrainState) -> TrainState:
    variables = steps.restore(step, _WEIGHTS, template.variables)
    training = steps.restore(step, _TRAINING, _training_items(template))
    return dataclasses.replace(
        template,
        step=training["step"],
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=training["opt_state"],
        dropout_key=jax.random.wrap_key_data(training["dropout_key"]),
    )


def _training_items(state: TrainState) -> dict[str, Any]:
    key = jax.random.key_data(state.dropout_key)
    return {"step": state.step, "opt_state": state.opt_state, "dropout_key": key}


def checkpoint_folder(row_folder: Path) -> Path:
    """Where a row keeps the checkpoints that `madsep separate` takes."""
    return row_folder / "checkpoint"


def find_checkpoint(folder: str | os.PathLike[str]) -> Path:
    """Return the checkpoint in a folder: the folder itself, or that of an ablation's row.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    folder = Path(folder)
    if not is_there(folder / _CONFIG) and is_there(checkpoint_folder(folder) / _CONFIG):
        folder = checkpoint_folder(folder)
    load_config(folder)
    return folder
