"""Train the model of one row, from its last checkpoint where there is one."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.order import TrainingOrder
from data_pipelines.pipeline import example_batch, training_batches
from data_pipelines.sources import Source
from data_pipelines.to_device import prefetch_to_device
from experiments.train_log import TrainLog
from experiments.validation import Validation
from madsep_jax.checkpoint import restore_state, save_checkpoint
from madsep_jax.config import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json
from madsep_jax.train import TrainState, compile_train_step, fit, init_state

_SAVE_EVERY_S = 60.0
_UNTIMED_STEPS = 3

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainResult:
    """How long a training took, in seconds."""

    steps: int
    compile_s: float
    step_s: float | None
    """Median over the steps of the last start, the first few left out; None where there were none."""
    total_s: float


def checkpoint_folder(row_folder: Path) -> Path:
    """Where a row keeps the checkpoint that `madsep separate` takes."""
    return row_folder / "checkpoint"


def train_row(
    config: RunConfig,
    source: Source,
    folder: Path,
    on_step: OnStep,
    validation: Validation | None = None,
) -> TrainResult:
    """Train to the last step, saving every minute and at the end; a finished training is not repeated.

    Where songs are scored after some of the epochs, their scores go into the log, and a checkpoint is saved with them.

    Raises:
        NonFiniteLossError: where the loss became NaN or infinite.
        InputError: where there are too few songs for a batch, or a record of a prepared set cannot be read.
    """
    done = folder / "training.json"
    if done.is_file():
        try:
            return TrainResult(**read_json(done))
        except TypeError:
            raise InputError(f"{done}: is damaged, expected what this command wrote; delete its folder") from None
    order = TrainingOrder.of_songs(source.song_frames, config.sequences, config.training, config.data, source.silent)
    start = time.perf_counter()
    state = init_state(config)
    state = restore_state(checkpoint_folder(folder), state) or state
    first_step = int(state.step)
    train_step, compile_s = compile_train_step(config, state, example_batch(source, order))
    clock = _StepClock()
    with TrainLog(folder, first_step) as log:

        def report(step: int, metrics: dict[str, float]) -> None:
            clock.tick()
            log.write(step, metrics)
            on_step(step, metrics)

        def validation_due(step: int) -> bool:
            return validation is not None and validation.due(step, order.steps_per_epoch)

        def save_due(step: int) -> bool:
            return step == order.total_steps or clock.since_save() > _SAVE_EVERY_S or validation_due(step)

        def save(state: TrainState) -> None:
            if validation is not None and validation_due(step := int(state.step)):
                log.write_validation(step, validation.score(config, state.variables))
            save_checkpoint(checkpoint_folder(folder), config, state)
            clock.saved()

        batches = prefetch_to_device(training_batches(source, order, first_step))
        fit(state, train_step, batches, report, save_due, save)
    result = TrainResult(order.total_steps, compile_s, clock.median(), time.perf_counter() - start)
    write_json(done, dataclasses.asdict(result))
    return result


class _StepClock:
    """Seconds from one reported step to the next, but over a save."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._last_save = time.perf_counter()
        self._seconds: list[float] = []

    def tick(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._seconds.append(now - self._last)
        self._last = now

    def saved(self) -> None:
        self._last_save = time.perf_counter()
        self._last = None

    def since_save(self) -> float:
        return time.perf_counter() - self._last_save

    def median(self) -> float | None:
        timed = self._seconds[_UNTIMED_STEPS:] or self._seconds
        return statistics.median(timed) if timed else None
