"""Trainings that go on from other devices' checkpoints, in one process of several; arguments: a folder, JSON of legs.

In float64, so that they can be compared to many digits. Each training is a list of legs: [the step to train to, the
devices and how they share]. Writes last states to .npz.
"""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np
from interrupted_worker import config_of, songs, tame_start, train_in_float64

from experiments.training.loop import How, train
from madsep_jax.checkpoint.folder import checkpoint_folder, restore_training
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.parallel import make_layout

CHANGES = {"training.batch_size": 4, "training.learning_rate": 1e-4}


def last_state(config, folder):
    state = restore_training(checkpoint_folder(folder), tame_start(config)).state
    return dataclasses.replace(state, gradient=None)


def arrays_of(state):
    plain = dataclasses.replace(state, dropout_key=jax.random.key_data(state.dropout_key))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(plain)}


def main(folder, trainings):
    train_in_float64()
    for name, legs in trainings.items():
        row = folder / name
        for steps, parallel in legs:
            config = config_of({"steps": steps, "set": CHANGES})
            (row / "training.json").unlink(missing_ok=True)
            layout = ParallelConfig(**parallel)
            before = last_state(config, row) if row.is_dir() else dataclasses.replace(tame_start(config), gradient=None)
            placed = make_layout(config, layout).place_state(before)
            there_and_back = arrays_of(make_layout(config, layout).whole_state(placed))
            for key, array in arrays_of(before).items():
                assert array.tobytes() == there_and_back[key].tobytes(), key
            train([config], [row], songs(config), lambda step, metrics: None, How(layout))
        np.savez(folder / f"{name}.npz", **arrays_of(last_state(config, row)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
