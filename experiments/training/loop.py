"""Train the model of one row, or those of several seeds together, from their last checkpoints where there are any."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jax

from data_pipelines.batches.pipeline import example_batch, training_batches
from data_pipelines.batches.sources import Source
from data_pipelines.batches.to_device import TimedBatches, prefetch_to_device
from experiments.cli.signals import StopSignals
from experiments.training.log import CallMeter, StepClock, TrainLog, read_log
from experiments.training.profile import StepProfile
from experiments.training.saving import Saver, Start, TrainResult, find_start, finished_training
from experiments.training.validation import Validation, stops_after, validate
from madsep_jax.checkpoint.steps import Score
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.saving import SavingConfig
from madsep_jax.host.files import write_json
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.processes import as_first_process, is_first_process, process_shard
from madsep_jax.parallel.program import Program, group_steps, stack_batches, stack_states, state_of_seed
from madsep_jax.train.running import fit_seeds
from madsep_jax.train.state import TrainState

_ONE_DEVICE = ParallelConfig(devices=1)


@dataclass(frozen=True)
class Watching:
    """What is looked at beside the log."""

    validation: Validation | None = None
    profile_steps: int | None = None
    """Trace so many steps; None for no trace."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the person who waits."""


_LOG_ALONE = Watching()

_SAVING = SavingConfig()

OnStep = Callable[[int, dict[str, float]], None]


def train_row(
    config: RunConfig,
    source: Source,
    folder: Path,
    on_step: OnStep,
    parallel: ParallelConfig = _ONE_DEVICE,
    watching: Watching = _LOG_ALONE,
    saving: SavingConfig = _SAVING,
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
    saving: SavingConfig = _SAVING,
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
    saving: SavingConfig,
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


def call_sizes(first_step: int, total_steps: int, steps_per_call: int, epoch: int | None = None) -> Iterator[int]:
    """Yield how many steps each call does; with an epoch's steps given, no call goes over the end of an epoch.

    Args:
        first_step: steps done before.
        total_steps: of the whole training.
        steps_per_call: at most.
        epoch: steps of an epoch, at whose end something is to be done with the state of just that step.
    """
    done = first_step
    while done < total_steps:
        left = total_steps - done if epoch is None else min(total_steps - done, epoch - done % epoch)
        yield min(steps_per_call, left)
        done += min(steps_per_call, left)


class Watch:
    """Looks at one training, of one seed or of several together. Only the first process writes.

    In a `with`, the training calls `calls`, `waiting` and `around` before its loop, `report` for each step, `validate`
    and `saved` with each save.
    """

    def __init__(
        self,
        watching: Watching,
        starts: Sequence[Start],
        steps_per_call: int,
        devices: Sequence[jax.Device],
        clock: StepClock,
        signals: StopSignals,
    ) -> None:
        """Take what to look at, where the seeds start, and the devices of all processes."""
        self._watching, self._starts, self._steps_per_call = watching, starts, steps_per_call
        self._first_step, self._order = starts[0].step, starts[0].order
        self._clock, self._signals, self._stack = clock, signals, ExitStack()
        own = [device for device in devices if device.process_index == jax.process_index()]
        self._meter = CallMeter(self._sizes(), starts[0].config.training.batch_size, own)
        self._logs: list[TrainLog] = []
        self.stopped: Mapping[int, int] = {}
        """The seeds whose training has ended early, by their number, and the step after which it did."""

    def __enter__(self) -> "Watch":
        if is_first_process():
            self._logs = [self._stack.enter_context(TrainLog(start.folder, self._first_step)) for start in self._starts]
        self._find_stopped(self._first_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def calls(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Stack the batches of the steps that a call does; a call ends where a validation is due."""
        return group_steps(batches, self._steps_per_call, self._sizes())

    def waiting(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the calls' batches until the training ends, and measure how long each is waited for."""
        self._timed = TimedBatches(batches)
        self._meter.restart()
        while len(self.stopped) < len(self._starts):
            try:
                batch = next(self._timed)
            except StopIteration:
                return
            yield batch

    def around(self, program: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the program, traced for some steps where that is asked for."""
        steps, left = self._watching.profile_steps, self._order.total_steps - self._first_step
        if steps is None or not is_first_process():
            return program
        profile = StepProfile(self._starts[0].folder / "profile", steps, self._steps_per_call, left)
        self._stack.callback(lambda: self._watching.say(profile.description()))
        self._stack.callback(profile.stop)
        return profile.around(program)

    def report(self, step: int, of_seeds: Sequence[Mapping[str, float]]) -> None:
        """Log a step of all seeds. Steps are reported in order."""
        measured, size = self._meter.next_step(self._timed.wait_s)
        if size:
            self._clock.tick(size)
        for number, (log, values) in enumerate(zip(self._logs, of_seeds, strict=False)):
            if number not in self.stopped:
                log.write(step, {**values, **measured})

    def due(self, step: int) -> bool:
        """Whether there is a validation after a step, and so a save."""
        validation = self._watching.validation
        return validation is not None and validation.due(step, self._order.steps_per_epoch)

    def validate(self, step: int, states: Sequence[TrainState]) -> list[Score | None] | None:
        """Validate each seed where that is due, log what is found, and see which trainings end here.

        Args:
            step: steps done.
            states: of all seeds, on one device of this process.

        Returns:
            What tells the best checkpoint of each seed; None where no validation is due.
        """
        validation = self._watching.validation
        if validation is None or not self.due(step):
            return None
        scores: list[Score | None] = []
        for number, (log, start, state) in enumerate(zip(self._logs, self._starts, states, strict=False)):
            goes_on = number not in self.stopped
            scores.append(validate(validation, step, start, state.variables, log, self._signals) if goes_on else None)
        self._find_stopped(step)
        return scores

    def saved(self) -> None:
        """All seeds have been saved."""
        for log in self._logs:
            log.flush()
        self._meter.restart()

    def _sizes(self) -> Iterator[int]:
        epoch = self._order.steps_per_epoch if self._watching.validation else None
        return call_sizes(self._first_step, self._order.total_steps, self._steps_per_call, epoch)

    def _find_stopped(self, step: int) -> None:
        """See by the first process's logs which trainings end at a step."""
        rules = [start.config.training.early_stopping for start in self._starts]
        if rules[0].patience is None or step == self._order.total_steps:
            return
        found = [False] * len(self._starts)
        if is_first_process():
            logs = [read_log(start.folder, "validation") for start in self._starts]
            found = [stops_after(log, rule) for log, rule in zip(logs, rules, strict=True)]
        now = {number: step for number, stops in enumerate(as_first_process(found)) if stops}
        self.stopped = {**now, **self.stopped}
