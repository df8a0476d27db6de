"""Where in its data a training stands: what a checkpoint says of it, and whether that is still so."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.order import TrainingOrder
from madsep_jax.errors import InputError


def data_position(order: TrainingOrder, step: int) -> dict[str, Any]:
    """Return where a training stands after `step` steps, as a JSON object: epoch, step within it, and of which order.

    The order of an epoch is a function of the seed and the epoch alone, so that nothing more is needed to go on.
    """
    epoch, step_of_epoch = divmod(step, order.steps_per_epoch)
    return {"epoch": epoch, "step_of_epoch": step_of_epoch, **_order(order)}


def check_position(position: Mapping[str, Any], order: TrainingOrder, place: str) -> None:
    """Raise InputError, naming `place`, where a saved position is one of another order than this."""
    expected = _order(order)
    wrong = [name for name in expected if position.get(name) != expected[name]]
    if wrong:
        shown = ", ".join(f"{name} {position.get(name)!r}" for name in wrong)
        wanted = ", ".join(repr(expected[name]) for name in wrong)
        raise InputError(f"{place}: was trained on other data or in another order, found {shown}, expected {wanted}")


def _order(order: TrainingOrder) -> dict[str, Any]:
    return {
        "seed": order.training.seed,
        "batch_size": order.training.batch_size,
        "steps_per_epoch": order.steps_per_epoch,
        "sequences": len(order.song_of),
        "order": _fingerprint(order),
    }


def _fingerprint(order: TrainingOrder) -> str:
    """Return what tells orders of the same size apart."""
    settings = [order.training.order, order.training.songs_per_pass, dataclasses.asdict(order.data)]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (order.song_of, order.index_in_song, order.silent):
        digest.update(b"none" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()[:16]
