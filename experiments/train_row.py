"""Train the model of one row, or those of several seeds together, from their last checkpoints where there are any."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipelines.order import TrainingOrder
from data_pipelines.pipeline import example_batch, training_batches
from data_pipelines.sources import Source
from data_pipelines.to_device import prefetch_to_device
from experiments.step_clock import StepClock
from experiments.watching import Course, Watch, Watching
from madsep_jax.checkpoint import restore_state, save_checkpoint
from madsep_jax.config import ParallelConfig, RunConfig
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json
from madsep_jax.fitting import fit_seeds
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import is_first_process, process_shard
from madsep_jax.parallel.program import Program, group_steps, stack_batches, stack_states, state_of_seed
from madsep_jax.train import TrainState, init_state

_SAVE_EVERY_S = 60.0
_ONE_DEVICE = ParallelConfig(devices=1)
_LOG_ALONE = Watching()

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainResult:
    """How long a training took, in seconds; of several seeds that were trained together, each one's share."""

    steps: int
    compile_s: float
    step_s: float | None
    """Median over the steps of the last start, the first few left out; None where there were none."""
    total_s: float
    stopped_early: bool = False
    """Whether the validation ended it (`--early-stopping-patience`)."""


def checkpoint_folder(row_folder: Path) -> Path:
    """Where a row keeps the checkpoint that `madsep separate` takes."""
    return row_folder / "checkpoint"


def finished_training(folder: Path) -> TrainResult | None:
    """Return the result of a training that has come to its last step; None for any other."""
    done = folder / "training.json"
    if not done.is_file():
        return None
    try:
        return TrainResult(**read_json(done))
    except TypeError:
        raise InputError(f"{done}: is damaged, expected what this command wrote; delete its folder") from None


def train_row(
    config: RunConfig,
    source: Source,
    folder: Path,
    on_step: OnStep,
    parallel: ParallelConfig = _ONE_DEVICE,
    watching: Watching = _LOG_ALONE,
) -> TrainResult:
    """Train to the last step, saving every minute and at the end; a finished training is not repeated.

    Where songs are kept for validation, what is found of them goes into the log, and a checkpoint is saved with it. The
    training ends there once it has not improved for as long as `TrainingConfig.early_stopping` says.

    Raises:
        NonFiniteLossError: where the loss became NaN or infinite.
        InputError: where there are too few songs for a batch, the devices cannot share it, or a record of a prepared
            set cannot be read.
    """
    return finished_training(folder) or _train([config], source, [folder], on_step, parallel, watching)[0]


def train_seeds(
    configs: Sequence[RunConfig],
    source: Source,
    folders: Sequence[Path],
    on_step: OnStep,
    parallel: ParallelConfig = _ONE_DEVICE,
    watching: Watching = _LOG_ALONE,
) -> list[TrainResult]:
    """Train configs that differ in their seed alone together, in one program; each as `train_row` does.

    Seeds whose last checkpoints are of different steps are not trained together. `on_step` gets the averages.
    """
    by_step: dict[int, list[int]] = {}
    for number, (config, folder) in enumerate(zip(configs, folders, strict=True)):
        if not finished_training(folder):
            by_step.setdefault(int(_restored(config, folder).step), []).append(number)
    for numbers in by_step.values():
        _train([configs[n] for n in numbers], source, [folders[n] for n in numbers], on_step, parallel, watching)
    return [result for folder in folders if (result := finished_training(folder))]


def _train(
    configs: Sequence[RunConfig],
    source: Source,
    folders: Sequence[Path],
    on_step: OnStep,
    parallel: ParallelConfig,
    watching: Watching,
) -> list[TrainResult]:
    """Train one seed, or several that have done the same number of steps."""
    orders = [
        TrainingOrder.of_songs(source.song_frames, config.sequences, config.training, config.data, source.silent)
        for config in configs
    ]
    seeds = len(configs)
    together = seeds > 1
    start = time.perf_counter()
    layout = make_layout(configs[0], parallel, Program(parallel.steps_per_call, seeds if together else None))
    states = [_restored(config, folder) for config, folder in zip(configs, folders, strict=True)]
    first_step, total_steps = int(states[0].step), orders[0].total_steps
    state = layout.place_state(stack_states(states) if together else states[0])
    steps = parallel.steps_per_call
    silence = [example_batch(source, order, process_shard()) for order in orders]
    example = next(group_steps(_for_seeds([silence] * steps, together), steps))
    program, compile_s = compile_layout(layout, state, layout.place_batch(example))
    clock = StepClock()
    course = Course(first_step, total_steps, orders[0].steps_per_epoch, steps)
    with Watch(watching, configs, folders, course, layout.devices, clock) as watch:

        def report(step: int, values: list[dict[str, float]]) -> None:
            watch.report(step, values)
            on_step(step, {name: statistics.fmean(of_seed[name] for of_seed in values) for name in values[0]})

        def save_due(step: int) -> bool:
            if step == total_steps or watch.due(step):
                return True
            # The clocks of several processes differ, and all of them have to save at the same step.
            return process_shard()[1] == 1 and clock.since_save() > _SAVE_EVERY_S

        def save(state: TrainState) -> None:
            whole = layout.whole_state(state)
            done = int(whole.step[0] if together else whole.step)

            def of_seed(number: int) -> TrainState:
                return state_of_seed(whole, number) if together else whole

            watch.validate(done, lambda number: of_seed(number).variables)
            for number, (config, folder) in enumerate(zip(configs, folders, strict=True)):
                if not watch.stopped_before(number, done):
                    save_checkpoint(checkpoint_folder(folder), config, of_seed(number))
            clock.saved()
            watch.saved()

        of_seeds = zip(*(training_batches(source, order, first_step, process_shard()) for order in orders), strict=True)
        batches = prefetch_to_device(watch.calls(_for_seeds(of_seeds, together)), layout.place_batch)
        fit_seeds(state, watch.around(program), watch.waiting(batches), report, save_due, save, first_step, seeds)
    step_s, total_s = clock.median(), time.perf_counter() - start
    share_s = None if step_s is None else step_s / seeds
    stopped = [watch.stopped_at(number) for number in range(seeds)]
    results = [
        TrainResult(step or total_steps, compile_s / seeds, share_s, total_s / seeds, stopped_early=step is not None)
        for step in stopped
    ]
    for folder, result in zip(folders, results, strict=True):
        if is_first_process():
            write_json(folder / "training.json", dataclasses.asdict(result))
    return results


def _restored(config: RunConfig, folder: Path) -> TrainState:
    state = init_state(config)
    return restore_state(checkpoint_folder(folder), state) or state


def _for_seeds(batches: Iterable[Sequence[Any]], together: bool) -> Iterator[Any]:
    """Turn the batches of all seeds into one batch; that of a single seed stays as it is."""
    return (stack_batches(of_seeds) if together else of_seeds[0] for of_seeds in batches)
