"""Train the models of some rows from their last checkpoints on, or from the start: one seed, or several together."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import jax

from data_pipelines.batches.pipeline import example_batch, training_batches
from data_pipelines.batches.sources import Source
from data_pipelines.batches.to_device import prefetch_to_device
from experiments.cli.signals import StopSignals
from experiments.training.given_weights import GivenWeights
from experiments.training.log import Log, profiled
from experiments.training.saving import Saver, Start, TrainResult, find_start
from experiments.training.validation import Judge, Validation
from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import SavingConfig
from madsep_jax.host.memory import memory_errors, require_room
from madsep_jax.parallel.layout import Layout, compile_layout, make_layout
from madsep_jax.parallel.processes import as_first_process, process_shard
from madsep_jax.parallel.program import Program
from madsep_jax.train.running import BySeed, Running

OnStep = Callable[[int, dict[str, float]], None]


class LastProgram:
    """The program that was compiled last, for the next training if it differs in its seed alone."""

    def __init__(self) -> None:
        self._of: Any = None
        self._made: Any = None

    def get(self, config: RunConfig, seeds: int, compile_it: Callable[[], tuple[Any, float]]) -> tuple[Any, float]:
        """Return the program of so many seeds of a config, and the seconds that it took to compile, now or before."""
        asked = override(config, {"training.seed": 0}), seeds
        if asked != self._of:
            self._of, self._made = None, None  # let go of before the next one is made
            self._made = compile_it()
            self._of = asked
        return self._made


@dataclass(frozen=True)
class How:
    """How trainings are carried out. Nothing here but `start_from` changes what is learnt by more than rounding."""

    parallel: ParallelConfig = field(default_factory=lambda: ParallelConfig(devices=1))
    saving: SavingConfig = field(default_factory=SavingConfig)
    validation: Validation | None = None
    start_from: GivenWeights | None = None
    """Weights to start from; None for random ones."""
    profile_steps: int | None = None
    """Trace so many steps; None for no trace."""
    ignores_memory: bool = False
    """Begin also where the program needs more memory than there is."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the person who waits."""
    program: LastProgram = field(default_factory=LastProgram, compare=False)

    def check(self, compiled: Any) -> None:
        """Raise MemoryError where this process's first device, and so each, cannot hold what a program needs."""
        if self.ignores_memory:
            return
        reason = ""
        try:
            require_room(compiled, jax.local_devices()[0])
        except MemoryError as error:
            reason = str(error)
        if not as_first_process([not reason])[0]:  # all begin, or none
            raise MemoryError(reason or "the first process has too little memory")


def train(
    configs: Sequence[RunConfig], folders: Sequence[Path], source: Source, on_step: OnStep, how: How
) -> list[TrainResult]:
    """Train to the last step, saving now and then and at the end; a finished training is not repeated.

    One that was finished after fewer steps goes on, to the state to which it would have come without that end.

    Where songs are kept for validation, what is found of them goes into the log, and a checkpoint is saved with it. A
    training ends there once it has not improved for as long as `TrainingConfig.early_stopping` says.
    On SIGTERM or SIGINT the call in flight is ended and the state saved.

    Args:
        configs: that differ in their seed alone. They are trained in one program; those whose last checkpoints are of
            different steps, one after the other. Results are in their order.
        folders: of their rows.
        source: of the sequences.
        on_step: gets each step's number, from 1, and the averages of the seeds' metrics.
        how: this is done.

    Raises:
        Stopped: after such a signal.
        NonFiniteLossError: where a loss became NaN or infinite.
        MemoryError: where a device has too little memory, before the first step if the compiler can tell.
        InputError: where there are too few songs for a batch, the devices cannot share it, a record of a prepared set
            cannot be read, no checkpoint can be read, or none can be written, or one is of more steps than these.
    """
    results: dict[Path, TrainResult] = {}
    of_equal_step: dict[int, list[Start]] = {}
    for config, folder in zip(configs, folders, strict=True):
        start = find_start(config, source, folder, how.start_from)
        if isinstance(start, TrainResult):
            results[folder] = start
        else:
            of_equal_step.setdefault(start.step, []).append(start)
    for starts in of_equal_step.values():
        results |= _train(starts, source, on_step, how)
    return [results[folder] for folder in folders]


def _train(starts: Sequence[Start], source: Source, on_step: OnStep, how: How) -> dict[Path, TrainResult]:
    """Train seeds that have done the same number of steps; returns their results by folder."""
    begin, first, order = time.perf_counter(), starts[0].step, starts[0].order
    if 0 < first < order.total_steps:
        names = ", ".join(start.folder.name for start in starts)
        how.say(f"{names}: goes on from step {first} of {order.total_steps}")
    program = Program(how.parallel.steps_per_call, len(starts))
    signals, is_alone = StopSignals(), process_shard()[1] == 1
    with memory_errors(), ExitStack() as stack:
        if not is_alone:  # the others would wait for one that ends
            stack.enter_context(signals)
        layout = make_layout(starts[0].config, how.parallel, program)
        state = layout.place_state(program.join_states([start.state for start in starts]))
        silence = [repeat(example_batch(source, start.order, process_shard())) for start in starts]
        example = layout.place_batch(next(program.join_batches(silence)))
        call, compile_s = how.program.get(
            starts[0].config, len(starts), lambda: compile_layout(layout, state, example, how.check)
        )
        if is_alone:  # until here there was nothing to save
            stack.enter_context(signals)

        trace = profiled(call, how.profile_steps, program.steps, order.total_steps - first, starts[0].folder, how.say)
        with Log(starts, layout.devices) as log, Saver(starts, source, how.saving, signals) as saver, trace as call:
            judge = Judge(how.validation, starts, log, signals)
            if first > 0:
                saver.add_scores(judge.validate(first, [start.state for start in starts]))  # if it was interrupted
                saver.stopping = judge.interrupted  # again
            batches = () if judge.all_ended or saver.stopping else _batches(starts, source, program, layout, how)

            run = Running(state, call, first, len(starts))
            for batch in log.timed(batches):
                steps = run.advance(batch)
                due = saver.due(steps) or judge.due(steps)  # in this order: the processes meet in the first
                for reported, by_step in run.reports(keep=0 if due else 1):
                    log.write(reported, by_step, left_out=judge.ended)
                    saver.note(by_step)
                    _tell(on_step, reported, by_step)
                if due:
                    ended, states = judge.ended, program.split_states(layout.whole_state(run.state))
                    scores = judge.validate(steps[-1], states)
                    saver.stopping = saver.stopping or judge.interrupted
                    saver.save(states, scores, left_out=ended)
                    log.saved()
                    if saver.stopping or judge.all_ended:
                        break
    return saver.results(judge.ended, judge.interrupted, compile_s, log.step_s, time.perf_counter() - begin)


def _batches(starts: Sequence[Start], source: Source, program: Program, layout: Layout, how: How) -> Iterator[Any]:
    """Yield what each call takes, on the devices; with a validation no call goes over the end of an epoch."""
    first, order = starts[0].step, starts[0].order
    sizes = program.call_sizes(first, order.total_steps, order.steps_per_epoch if how.validation else None)
    of_seeds = [training_batches(source, start.order, first, process_shard()) for start in starts]
    return prefetch_to_device(program.join_batches(of_seeds, sizes), layout.place_batch)


def _tell(on_step: OnStep, steps: range, by_step: Sequence[BySeed]) -> None:
    """Report each step, with the averages of the seeds' metrics."""
    for step, by_seed in zip(steps, by_step, strict=True):
        on_step(step, {name: statistics.fmean(of_seed[name] for of_seed in by_seed) for name in by_seed[0]})
