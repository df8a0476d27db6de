"""Train the model of one row, or those of several seeds together, from their last checkpoints where there are any."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from data_pipelines.pipeline import example_batch, training_batches
from data_pipelines.sources import Source
from data_pipelines.to_device import prefetch_to_device
from experiments.resume import Start, checkpoint_folder, find_start
from experiments.save_options import SaveOptions
from experiments.saving import Saver
from experiments.step_clock import StepClock
from experiments.stop_signals import StopSignals
from experiments.watching import Watch, Watching
from madsep_jax.config import ParallelConfig, RunConfig
from madsep_jax.errors import InputError
from madsep_jax.files import read_json, write_json
from madsep_jax.fitting import fit_seeds
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import is_first_process, process_shard
from madsep_jax.parallel.program import Program, group_steps, stack_batches, stack_states, state_of_seed
from madsep_jax.train import TrainState

__all__ = ["OnStep", "TrainResult", "checkpoint_folder", "finished_training", "train_row", "train_seeds"]

_ONE_DEVICE = ParallelConfig(devices=1)
_LOG_ALONE = Watching()
_SAVING = SaveOptions()

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
    saving: SaveOptions = _SAVING,
) -> TrainResult:
    """Train to the last step, saving now and then and at the end; a finished training is not repeated.

    Where songs are kept for validation, what is found of them goes into the log, and a checkpoint is saved with it. The
    training ends there once it has not improved for as long as `TrainingConfig.early_stopping` says.
    On SIGTERM or SIGINT the step in flight is ended and the state saved.

    Raises:
        Stopped: after such a signal.
        NonFiniteLossError: where the loss became NaN or infinite.
        InputError: where there are too few songs for a batch, the devices cannot share it, a record of a prepared set
            cannot be read, no checkpoint can be read, or none can be written.
    """
    finished = finished_training(folder)
    return finished or _train([find_start(config, source, folder)], source, on_step, parallel, watching, saving)[0]


def train_seeds(
    configs: Sequence[RunConfig],
    source: Source,
    folders: Sequence[Path],
    on_step: OnStep,
    parallel: ParallelConfig = _ONE_DEVICE,
    watching: Watching = _LOG_ALONE,
    saving: SaveOptions = _SAVING,
) -> list[TrainResult]:
    """Train configs that differ in their seed alone together, in one program; each as `train_row` does.

    Seeds whose last checkpoints are of different steps are not trained together. `on_step` gets the averages.
    """
    by_step: dict[int, list[Start]] = {}
    for config, folder in zip(configs, folders, strict=True):
        if not finished_training(folder):
            start = find_start(config, source, folder)
            by_step.setdefault(start.step, []).append(start)
    for starts in by_step.values():
        _train(starts, source, on_step, parallel, watching, saving)
    return [result for folder in folders if (result := finished_training(folder))]


def _train(
    starts: Sequence[Start],
    source: Source,
    on_step: OnStep,
    parallel: ParallelConfig,
    watching: Watching,
    saving: SaveOptions,
) -> list[TrainResult]:
    """Train one seed, or several that have done the same number of steps."""
    seeds, first_step, order = len(starts), starts[0].step, starts[0].order
    together = seeds > 1
    begin = time.perf_counter()
    with ExitStack() as stack:
        signals = stack.enter_context(StopSignals())
        layout = make_layout(starts[0].config, parallel, Program(parallel.steps_per_call, seeds if together else None))
        states = [start.state for start in starts]
        state = layout.place_state(stack_states(states) if together else states[0])
        steps = parallel.steps_per_call
        silence = [example_batch(source, start.order, process_shard()) for start in starts]
        example = next(group_steps(_for_seeds([silence] * steps, together), steps))
        program, compile_s = compile_layout(layout, state, layout.place_batch(example))
        clock = StepClock()
        watch = stack.enter_context(Watch(watching, starts, steps, layout.devices, clock, signals))
        saver = stack.enter_context(Saver(starts, saving, signals))

        def report(step: int, values: list[dict[str, float]]) -> None:
            watch.report(step, values)
            saver.note(values)
            on_step(step, {name: statistics.fmean(of_seed[name] for of_seed in values) for name in values[0]})

        def save_due(steps: range) -> bool:
            return saver.due(steps) or any(watch.due(step) for step in steps)

        def save(state: TrainState) -> None:
            whole = jax.tree.map(lambda leaf: leaf.addressable_data(0), layout.whole_state(state))
            ones = [state_of_seed(whole, number) for number in range(seeds)] if together else [whole]
            left_out = watch.stopped
            saver.save(ones, watch.validate(int(ones[0].step), ones), left_out)
            clock.saved()
            watch.saved()

        if first_step > 0:
            watch.validate(first_step, states)  # which a signal may have interrupted
        of_seeds = zip(
            *(training_batches(source, start.order, first_step, process_shard()) for start in starts), strict=True
        )
        batches = prefetch_to_device(watch.calls(_for_seeds(of_seeds, together)), layout.place_batch)
        program, batches = watch.around(program), watch.waiting(batches)
        fit_seeds(state, program, batches, report, save_due, save, first_step, seeds, lambda: saver.stopping)
    step_s, total_s = clock.median(), time.perf_counter() - begin
    step_s = None if step_s is None else step_s / seeds
    results = []
    for number, start in enumerate(starts):
        stopped = watch.stopped.get(number)
        if stopped is None and saver.last_step < order.total_steps:
            continue
        done = order.total_steps if stopped is None else stopped
        results.append(TrainResult(done, compile_s / seeds, step_s, total_s / seeds, stopped is not None))
        if is_first_process():
            write_json(start.folder / "training.json", dataclasses.asdict(results[-1]))
    saver.stop_where_told()
    return results


def _for_seeds(batches: Iterable[Sequence[Any]], together: bool) -> Iterator[Any]:
    """Turn the batches of all seeds into one batch; that of a single seed stays as it is."""
    return (stack_batches(of_seeds) if together else of_seeds[0] for of_seeds in batches)
