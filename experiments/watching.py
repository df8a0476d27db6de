"""What is looked at while a row trains: its log, its speed, its validation, a profile."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jax

from data_pipelines.waiting import TimedBatches
from experiments.call_meter import CallMeter
from experiments.calls import call_sizes, group_calls
from experiments.early_stopping import stops_after
from experiments.step_clock import StepClock
from experiments.step_profile import StepProfile
from experiments.train_log import TrainLog, read_log
from experiments.validation import Validation
from madsep_jax.config import RunConfig
from madsep_jax.parallel.processes import as_first_process, is_first_process


@dataclass(frozen=True)
class Watching:
    """What is looked at beside the log."""

    validation: Validation | None = None
    profile_steps: int | None = None
    """Trace so many steps; None for no trace."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the person who waits."""


@dataclass(frozen=True)
class Course:
    """Which steps a training has done, and which it will do."""

    first_step: int
    """Done before."""
    total_steps: int
    steps_per_epoch: int
    steps_per_call: int


class Watch:
    """Looks at one training, of one seed or of several together. Only the first process writes.

    In a `with`, the training calls `calls`, `waiting` and `around` before its loop, `report` for each step, `validate`
    and `saved` with each save.
    """

    def __init__(
        self,
        watching: Watching,
        configs: Sequence[RunConfig],
        folders: Sequence[Path],
        course: Course,
        devices: Sequence[jax.Device],
        clock: StepClock,
    ) -> None:
        """Take what to look at, the seeds' configs and folders, and the devices of all processes."""
        self._watching, self._configs, self._folders, self._course = watching, configs, folders, course
        self._clock, self._stack = clock, ExitStack()
        self._devices = [device for device in devices if device.process_index == jax.process_index()]
        self._meter = CallMeter(self._sizes(), configs[0].training.batch_size, self._devices)
        self._stopped: dict[int, int] = {}

    def __enter__(self) -> "Watch":
        if is_first_process():
            first = self._course.first_step
            self._logs = [self._stack.enter_context(TrainLog(folder, first)) for folder in self._folders]
        else:
            self._logs = []
        self._find_stopped(self._course.first_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def calls(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Stack the batches of the steps that a call does; a call ends where a validation is due."""
        return group_calls(batches, self._sizes(), self._course.steps_per_call)

    def waiting(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the calls' batches until the training ends, and measure how long each is waited for."""
        self._timed = TimedBatches(batches)
        self._meter.restart()
        while len(self._stopped) < len(self._configs):
            try:
                batch = next(self._timed)
            except StopIteration:
                return
            yield batch

    def around(self, program: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the program, traced for some steps where that is asked for."""
        steps, course = self._watching.profile_steps, self._course
        if steps is None or not is_first_process():
            return program
        profile = StepProfile(
            self._folders[0] / "profile", steps, course.steps_per_call, course.total_steps - course.first_step
        )
        self._stack.callback(lambda: self._watching.say(profile.description()))
        self._stack.callback(profile.stop)
        return profile.around(program)

    def report(self, step: int, of_seeds: Sequence[Mapping[str, float]]) -> None:
        """Log a step of all seeds. Steps are reported in order."""
        measured, size = self._meter.next_step(self._timed.wait_s)
        if size:
            self._clock.tick(size)
        for number, (log, values) in enumerate(zip(self._logs, of_seeds, strict=False)):
            if number not in self._stopped:
                log.write(step, {**values, **measured})

    def due(self, step: int) -> bool:
        """Whether there is a validation after a step, and so a save."""
        validation = self._watching.validation
        return validation is not None and validation.due(step, self._course.steps_per_epoch)

    def validate(self, step: int, variables_of: Callable[[int], Any]) -> None:
        """Validate each seed where that is due, log what was found, and see which trainings end here.

        Args:
            step: steps done.
            variables_of: returns the model's variables of the seed of that number.
        """
        validation = self._watching.validation
        if validation is None or not self.due(step):
            return
        for number, config in enumerate(self._configs):
            variables = variables_of(number)  # which all processes have to compute together
            if is_first_process() and number not in self._stopped:
                local = jax.tree.map(lambda leaf: leaf.addressable_data(0), variables)
                found = validation.measure(config, local, step, self._course.steps_per_epoch)
                self._logs[number].write_validation(step, found)
        self._find_stopped(step)

    def saved(self) -> None:
        """All seeds have been saved."""
        for log in self._logs:
            log.flush()
        self._meter.restart()

    def stopped_before(self, number: int, step: int) -> bool:
        """Whether the training of a seed ended at an earlier step: it is not to be saved again."""
        return self._stopped.get(number, step) < step

    def stopped_at(self, number: int) -> int | None:
        """Return the step at which a seed's training ended early; None where it did not."""
        return self._stopped.get(number)

    def _sizes(self) -> Iterator[int]:
        course = self._course
        epoch = course.steps_per_epoch if self._watching.validation else None
        return call_sizes(course.first_step, course.total_steps, course.steps_per_call, epoch)

    def _find_stopped(self, step: int) -> None:
        """See by the first process's logs which trainings end at a step."""
        if self._configs[0].training.early_stopping.patience is None or step == self._course.total_steps:
            return
        found = [False] * len(self._configs)
        if is_first_process():
            found = [
                stops_after(read_log(folder, "validation"), config.training.early_stopping)
                for config, folder in zip(self._configs, self._folders, strict=True)
            ]
        for number, stops in enumerate(as_first_process(found)):
            if stops:
                self._stopped.setdefault(number, step)
