"""Measure the input pipeline alone, and beneath a training."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import jax

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.pipeline import example_batch, training_batches
from data_pipelines.batches.to_device import TimedBatches, prefetch_to_device
from data_pipelines.prepared.reader import PreparedSongs
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import cpu_cores
from madsep_jax.train.step import compile_train_step, init_state

_ENDLESS = 10**9

_RUNS = 5

_READY_BATCHES = 16

"""More than a pipeline has ready."""

_UNTIMED_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class PipelineResult:
    """The pipeline alone. Bytes are those of the arrays as they are handed over."""

    name: str
    batch: int
    sequences_per_s: float
    """Median over the runs."""
    first_quartile: float
    third_quartile: float
    sequence_bytes: int
    cpu_share: float
    """Processor time over the time of all cores."""

    @property
    def mb_per_s(self) -> float:
        """Megabytes a second."""
        return self.sequences_per_s * self.sequence_bytes / 1e6


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A training fed by the pipeline: seconds of each step, and of each wait for a batch before it."""

    name: str
    system: str
    batch: int
    step_s: list[float] = field(repr=False)
    wait_s: list[float] = field(repr=False)

    @property
    def median_step_s(self) -> float:
        """Median of a step, the wait included."""
        return statistics.median(step + wait for step, wait in zip(self.step_s, self.wait_s, strict=True))

    @property
    def wait_share(self) -> float:
        """Share of the whole time that was spent waiting."""
        return sum(self.wait_s) / (sum(self.wait_s) + sum(self.step_s))


def endless_order(songs: PreparedSongs, config: RunConfig, batch: int) -> TrainingOrder:
    """Return an order of so many sequences a batch that does not end."""
    training = dataclasses.replace(config.training, batch_size=batch, steps=_ENDLESS)
    return TrainingOrder.of_songs(songs.song_frames, config.sequences, training, config.data, songs.silent)


class PipelineClock:
    """The pipeline of one set, taken from as fast as batches come."""

    def __init__(self, name: str, songs: PreparedSongs, config: RunConfig, batch: int) -> None:
        """Start it with an epoch, which brings the set into memory."""
        self._name, self._songs, self._batch = name, songs, batch
        order = endless_order(songs, config, batch)
        self._batches = training_batches(songs, order)
        for _ in itertools.islice(self._batches, order.steps_per_epoch):
            pass
        self._rates: list[float] = []
        self._cpu_s = self._wall_s = 0.0

    def run(self, seconds: float) -> None:
        """Count the batches of so many seconds; those that were ready beforehand are not among them."""
        for _ in range(_READY_BATCHES):
            next(self._batches)
        cpu_s, start, count = time.process_time(), time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < seconds:
            next(self._batches)
            count += 1
        self._rates.append(count * self._batch / passed)
        self._cpu_s += time.process_time() - cpu_s
        self._wall_s += passed

    def result(self) -> PipelineResult:
        """Return what at least two runs found."""
        first, median, third = statistics.quantiles(self._rates, n=4, method="inclusive")
        return PipelineResult(
            name=self._name,
            batch=self._batch,
            sequences_per_s=median,
            first_quartile=first,
            third_quartile=third,
            sequence_bytes=self._songs.index.settings.array_bytes,
            cpu_share=self._cpu_s / self._wall_s / cpu_cores(),
        )


def measure_pipelines(
    sets: Sequence[tuple[str, PreparedSongs, RunConfig]], batch: int, seconds: float
) -> list[PipelineResult]:
    """Measure the pipelines of sets in turn, each for so many seconds in all."""
    clocks = [PipelineClock(name, songs, config, batch) for name, songs, config in sets]
    for _ in range(_RUNS):
        for clock in clocks:
            clock.run(seconds / _RUNS)
    return [clock.result() for clock in clocks]


def measure_training(
    name: str, songs: PreparedSongs, config: RunConfig, system: str, batch: int, steps: int
) -> TrainingResult:
    """Run training steps one by one, as soon as there is a batch for each."""
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=batch))
    order = endless_order(songs, config, batch)
    state = init_state(config)
    with without_compilation_cache():
        step, _ = compile_train_step(config, state, example_batch(songs, order))
    batches = TimedBatches(prefetch_to_device(training_batches(songs, order)))
    step_s = []
    for ready in itertools.islice(batches, _UNTIMED_STEPS + steps):
        begun = time.perf_counter()
        state, metrics = step(state, ready)
        jax.block_until_ready((state, metrics))
        step_s.append(time.perf_counter() - begun)
    wait_s = list(batches.wait_s)[_UNTIMED_STEPS:]
    return TrainingResult(name=name, system=system, batch=batch, step_s=step_s[_UNTIMED_STEPS:], wait_s=wait_s)
