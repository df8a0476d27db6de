"""Where the training of a row starts: at its newest checkpoint, or at the beginning."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from data_pipelines.order import TrainingOrder
from data_pipelines.position import check_position
from data_pipelines.sources import Source
from madsep_jax.checkpoint import restore_training
from madsep_jax.config import RunConfig
from madsep_jax.parallel.processes import is_first_process
from madsep_jax.train import TrainState, init_state


@dataclass(frozen=True)
class Start:
    """The training of one config, where it is to go on."""

    config: RunConfig
    folder: Path
    """Of the row."""
    order: TrainingOrder
    state: TrainState

    @property
    def step(self) -> int:
        """Steps done before."""
        return int(self.state.step)


def checkpoint_folder(row_folder: Path) -> Path:
    """Where a row keeps the checkpoints that `madsep separate` takes."""
    return row_folder / "checkpoint"


def find_start(config: RunConfig, source: Source, folder: Path) -> Start:
    """Return where a row's training starts; the same in all processes, of which the first one reads the checkpoint.

    Damaged checkpoints are reported on stderr, and the newest that is whole is taken.

    Raises:
        InputError: where all of them are damaged, or what they were trained on is not what there is now.
    """
    order = TrainingOrder.of_songs(source.song_frames, config.sequences, config.training, config.data, source.silent)
    state = init_state(config)
    if is_first_process():
        checkpoints = checkpoint_folder(folder)
        restored = restore_training(checkpoints, state, lambda line: print(line, file=sys.stderr, flush=True))
        if restored:
            state = restored.state
            if "position" in restored.notes:
                check_position(restored.notes["position"], order, str(checkpoints))
    if jax.process_count() > 1:
        state = _of_first_process(state)
    return Start(config, folder, order, state)


def _of_first_process(state: TrainState) -> TrainState:
    key = state.dropout_key
    plain = dataclasses.replace(state, dropout_key=jax.random.key_data(key), gradient=None)
    same = multihost_utils.broadcast_one_to_all(plain)
    key = jax.random.wrap_key_data(same.dropout_key, impl=jax.random.key_impl(key))
    return dataclasses.replace(same, dropout_key=key, gradient=state.gradient)
