"""Where the training of a row starts, when it is saved, and when it ends early."""

import dataclasses
import shutil
import statistics
import sys
import time
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from data_pipelines.batches.order import TrainingOrder, check_position, data_position
from data_pipelines.batches.sources import Source, mixture_level
from experiments.cli.results import read_as
from experiments.cli.signals import CONTINUE, Stopped, StopSignals, keeps
from experiments.training.given_weights import GivenWeights
from madsep_jax.checkpoint.folder import CheckpointWriter, checkpoint_folder, restore_training
from madsep_jax.checkpoint.steps import Score
from madsep_jax.config.io import from_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import SavingConfig
from madsep_jax.errors import InputError
from madsep_jax.host.files import write_json
from madsep_jax.models.outside import with_accepted_source
from madsep_jax.parallel.processes import Agreement, Wishes, is_first_process
from madsep_jax.train.batch import TrainState
from madsep_jax.train.running import BySeed
from madsep_jax.train.step import init_state

_RESULT = "training.json"


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


class Saver:
    """Saves a training, or those of several seeds that are trained together, each into its own folder.

    The first process writes. It asks for a save when its clock says so, and any process asks for the end when it has
    been sent a signal; all of them then do it after the same step.
    """

    def __init__(self, starts: Sequence[Start], source: Source, options: SavingConfig, signals: StopSignals) -> None:
        self._starts, self._source, self._options, self._signals = starts, source, options, signals
        self._agreement = Agreement(starts[0].step)
        self._writers: list[CheckpointWriter] = []
        self._losses: list[list[float]] = [[] for _ in starts]
        self._time = time.perf_counter()
        self._failure: InputError | None = None
        self.last_step = starts[0].step
        """The last one that has been saved, or from which the training has started."""
        self.stopping = False
        """Whether the training ends after the save that has been done, or is now due."""

    def note(self, by_step: Sequence[BySeed]) -> None:
        """Take the metrics of some steps, by seed."""
        for by_seed in by_step:
            for losses, of_seed in zip(self._losses, by_seed, strict=True):
                losses.append(of_seed["loss"])

    def due(self, steps: range) -> bool:
        """Whether to save after these steps, which one call has done. Raises InputError where the last save failed."""
        last, every = steps[-1], self._options.save_every_steps
        clock = every is None and time.perf_counter() - self._time > self._options.save_every
        wishes = Wishes(clock and is_first_process(), self._signals.received is not None, self._has_failed())
        agreed = self._agreement.on(last, wishes)
        if agreed.fail:
            raise self._failure or InputError("the first process cannot save the training")
        self.stopping = self.stopping or agreed.stop
        counted = every is not None and any(step % every == 0 for step in steps)
        return agreed.save or agreed.stop or counted or last == self._starts[0].order.total_steps

    def save(
        self, states: Sequence[TrainState], scores: Sequence[Score | None] | None, left_out: Container[int]
    ) -> None:
        """Begin to save the states of all seeds but those left out, by number, whose training has ended and is saved.

        Without scores of them, the best is told by the mean training loss since the last save.

        Raises:
            InputError: where one of them, or of the last ones, cannot be written; several processes learn of it at
                their next meeting.
        """
        step = int(states[0].step)
        for number, writer in enumerate(self._writers):
            if number in left_out:
                continue
            losses = self._losses[number]
            by_loss = Score("training loss", statistics.fmean(losses)) if losses else None
            position = data_position(self._starts[number].order, step)
            try:
                writer.save(states[number], {"position": position}, scores[number] if scores else by_loss)
            except InputError as error:
                self._failure = error
        self.last_step, self._losses, self._time = step, [[] for _ in self._starts], time.perf_counter()
        keeps()  # from here on an interrupted command has something to continue
        if jax.process_count() == 1:
            if self._failure:
                raise self._failure
            self.stopping = self.stopping or self._signals.received is not None  # it has come since it was asked for

    def add_scores(self, scores: Sequence[Score | None] | None) -> None:
        """Say how good the checkpoints that it starts from are. Raises InputError where that cannot be written."""
        for writer, score in zip(self._writers, scores or [], strict=False):
            if score is not None:
                writer.add_score(self.last_step, score)

    def results(
        self, ended: Mapping[int, int], interrupted: bool, compile_s: float, step_s: float | None, total_s: float
    ) -> "dict[Path, TrainResult]":
        """Write and return the result of each seed that is done, by its folder; to be called once all is saved.

        The times are those of all seeds; `ended` has the step after which a training has ended early, by its number.
        One whose last validation was `interrupted` is not done. Raises Stopped where a signal has come.
        """
        seeds, results = len(self._starts), {}
        for number, start in enumerate(self._starts):
            done = ended.get(number, self.last_step)
            if number in ended or (done == start.order.total_steps and not interrupted):
                step_share = None if step_s is None else step_s / seeds
                result = TrainResult(done, compile_s / seeds, step_share, total_s / seeds, number in ended)
                results[start.folder] = result
                if is_first_process():
                    write_json(start.folder / _RESULT, dataclasses.asdict(result))
        if self.stopping or self._signals.received:
            line = f"stopped, step {self.last_step} of {self._starts[0].order.total_steps} is saved; {CONTINUE}"
            raise Stopped(line if is_first_process() else "", self._signals.received)
        return results

    def __enter__(self) -> "Saver":
        with ExitStack() as stack:
            if is_first_process():
                level = mixture_level(self._source, self._starts[0].order, self._starts[0].config.signal)
                for start in self._starts:
                    writer = CheckpointWriter(checkpoint_folder(start.folder), start.config, self._options, level)
                    self._writers.append(stack.enter_context(writer))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Wait for what is being written. Raises InputError where it cannot be."""
        self._open.__exit__(*error)

    def _has_failed(self) -> bool:
        try:
            for writer in self._writers:
                writer.check()
        except InputError as error:
            self._failure = error
        return self._failure is not None


def find_start(
    config: RunConfig, source: Source, folder: Path, given: GivenWeights | None = None
) -> "Start | TrainResult":
    """Return where a row's training starts, or the result of one that has ended; in all processes the same.

    The first one reads the checkpoint. Damaged ones are reported on stderr, and the newest that is whole is taken.
    Where there is none, the training starts from the weights that are given, if any. What a shorter training has left
    that had ended, its scores among it, is removed.

    Raises:
        InputError: where all checkpoints are damaged, what they were trained on is not what there is now, or they are
            of more steps than the training has.
    """
    order = TrainingOrder.of_songs(source.song_frames, config.sequences, config.training, config.data, source.silent)
    before = finished_training(folder)
    if before and (before.stopped_early or before.steps == order.total_steps):
        return before
    state = init_state(config) if given is None else given.into(init_state(config))
    if is_first_process():
        checkpoints = checkpoint_folder(folder)
        restored = restore_training(checkpoints, state, lambda line: print(line, file=sys.stderr, flush=True))
        if restored:
            state = restored.state
            with_accepted_source(from_dict(RunConfig, restored.notes["config"]), config)
            if "position" in restored.notes:
                check_position(restored.notes["position"], order, str(checkpoints))
    if jax.process_count() > 1:
        state = _of_first_process(state)
    if state.step > order.total_steps:
        found = f"{int(state.step)} steps, expected at most {order.total_steps}"
        raise InputError(f"{folder}: has been trained for {found}; choose another --out, or more steps")
    if is_first_process():
        (folder / _RESULT).unlink(missing_ok=True)
        shutil.rmtree(folder / "scores", ignore_errors=True)
    return Start(config, folder, order, state)


def _of_first_process(state: TrainState) -> TrainState:
    key = state.dropout_key
    plain = dataclasses.replace(state, dropout_key=jax.random.key_data(key), gradient=None)
    same = multihost_utils.broadcast_one_to_all(plain)
    key = jax.random.wrap_key_data(same.dropout_key, impl=jax.random.key_impl(key))
    return dataclasses.replace(same, dropout_key=key, gradient=state.gradient)


@dataclass(frozen=True)
class TrainResult:
    """How long a training took, in seconds; of several seeds that were trained together, each one's share."""

    steps: int
    compile_s: float
    """Of its program, which the next seed of the system takes over."""
    step_s: float | None
    """Median over the steps of the last start, the first few left out; None where there were none."""
    total_s: float
    stopped_early: bool = False
    """Whether the validation ended it (`--early-stopping-patience`)."""


def finished_training(folder: Path) -> TrainResult | None:
    """Return the result of a training that has come to its end; None for any other."""
    return read_as(TrainResult, folder / _RESULT, "delete its folder")
