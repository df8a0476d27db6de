"""What is looked at while a row trains: its log, its speed, its validation, a profile."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import jax

from data_pipelines.waiting import TimedBatches
from experiments.call_meter import CallMeter
from experiments.calls import call_sizes
from experiments.early_stopping import stops_after
from experiments.resume import Start
from experiments.step_clock import StepClock
from experiments.step_profile import StepProfile
from experiments.stop_signals import StopSignals
from experiments.train_log import TrainLog, read_log
from experiments.validating import validate
from experiments.validation import Validation
from madsep_jax.keeping import Score
from madsep_jax.parallel.processes import as_first_process, is_first_process
from madsep_jax.parallel.program import group_steps
from madsep_jax.train import TrainState


@dataclass(frozen=True)
class Watching:
    """What is looked at beside the log."""

    validation: Validation | None = None
    profile_steps: int | None = None
    """Trace so many steps; None for no trace."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the person who waits."""


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
