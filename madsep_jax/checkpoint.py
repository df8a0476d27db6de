"""A checkpoint: one folder with `config.json` and the weights, which loads by itself; the training state beside them.

This is the only module that knows Orbax.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from madsep_jax.config import RunConfig
from madsep_jax.config_io import from_dict, to_dict
from madsep_jax.environment import environment
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json
from madsep_jax.models.shapes import variable_shapes
from madsep_jax.train import TrainState

_CONFIG = "config.json"
_WEIGHTS = "weights"
_TRAINING = "training"
_OPTIONS = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)


def save_checkpoint(folder: Path, config: RunConfig, state: TrainState) -> None:
    """Save config, weights and training state; a checkpoint already there is replaced once the new one is whole."""
    write_json(folder / _CONFIG, {"config": to_dict(config), "environment": environment()})
    with _manager(folder) as manager:
        items = ocp.args.Composite(
            **{
                _WEIGHTS: ocp.args.StandardSave(state.variables),
                _TRAINING: ocp.args.StandardSave(_training_items(state)),
            }
        )
        if manager.latest_step() == int(state.step):
            manager.delete(int(state.step))
        manager.save(int(state.step), args=items, force=True)


def save_model(folder: Path, config: RunConfig, variables: Any) -> None:
    """Save a model without a training state: a checkpoint that `load_model` takes, from which no training goes on.

    Raises:
        InputError: where the folder holds anything, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already, expected a new or an empty folder")
    try:
        write_json(folder / _CONFIG, {"config": to_dict(config), "environment": environment()})
        with _manager(folder) as manager:
            manager.save(0, args=ocp.args.Composite(**{_WEIGHTS: ocp.args.StandardSave(variables)}))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error


def load_model(folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Return the config of a checkpoint and its variables, for `build_model(config.model).apply`.

    Raises:
        InputError: where the folder holds no checkpoint, or a damaged one.
    """
    config = load_config(folder)
    return config, _restore(folder, _WEIGHTS, variable_shapes(config.model))


def load_config(folder: Path) -> RunConfig:
    """Return the config of a checkpoint. Raises InputError where the folder holds none."""
    if not (folder / _CONFIG).is_file():
        raise InputError(f"{folder}: not a checkpoint, expected a folder with {_CONFIG} and weights")
    content = read_json(folder / _CONFIG)
    if not isinstance(content, dict) or "config" not in content:
        raise InputError(f"{folder / _CONFIG}: is damaged, expected the configuration of a training")
    return from_dict(RunConfig, content["config"], str(folder / _CONFIG))


def restore_state(folder: Path, template: TrainState) -> TrainState | None:
    """Return the saved training state, placed as the template is; None where nothing has been saved yet."""
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        if manager.latest_step() is None:
            return None
    variables = _restore(folder, _WEIGHTS, template.variables)
    training = _restore(folder, _TRAINING, _training_items(template))
    return dataclasses.replace(
        template,
        step=training["step"],
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=training["opt_state"],
        dropout_key=jax.random.wrap_key_data(training["dropout_key"]),
    )


def _training_items(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "opt_state": state.opt_state,
        "dropout_key": jax.random.key_data(state.dropout_key),
    }


def _manager(folder: Path) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(folder.absolute(), options=_OPTIONS, item_names=(_WEIGHTS, _TRAINING))


def _restore(folder: Path, item: str, like: Any) -> Any:
    """Restore one item onto this process's own device, whatever device it was saved from."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like)
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            raise InputError(f"{folder}: no weights, expected a folder that training has saved")
        try:
            saved = ocp.StandardCheckpointHandler().metadata(epath.Path(folder.absolute()) / str(step) / item)
            _check_shapes(saved, template)
            return manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(template)}))[item]
        except Exception as error:  # Orbax raises bare ones for damaged files
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(f"{folder}: the {item} of step {step} cannot be read: {reason}") from error


def _check_shapes(saved: Any, template: Any) -> None:
    """Raise ValueError, naming the arrays, where what was saved is not of the model that the config describes."""
    found, expected = (_shapes(tree) for tree in (saved, template))
    wrong = [name for name in sorted(set(found) | set(expected)) if found.get(name) != expected.get(name)]
    if wrong:
        shown = "; ".join(f"{name} is {found.get(name)}, expected {expected.get(name)}" for name in wrong[:3])
        raise ValueError(f"{len(wrong)} arrays do not fit the configuration: {shown}")


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path): tuple(leaf.shape) for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    """Name a leaf alike whether its containers are dictionaries, tuples or attributes."""
    return "/".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)
