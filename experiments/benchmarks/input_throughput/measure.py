"""Prepare sets, measure the input pipeline alone, and beneath a training, and the tables of both."""

import dataclasses
import functools
import itertools
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.batches.pipeline import example_batch, training_batches
from data_pipelines.batches.to_device import TimedBatches, prefetch_to_device
from data_pipelines.builders import BUILDERS
from data_pipelines.builders.preparation import sketch
from data_pipelines.prepared.reader import PreparedSongs
from data_pipelines.prepared.runners import run_in_processes
from data_pipelines.prepared.settings import FeatureSettings
from experiments.benchmarks.rounds import Spread, in_turn, timed
from experiments.cli.console import Bar
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.environment import cpu_cores, describe_machine
from madsep_jax.models.contract import config_of
from madsep_jax.train.step import compile_train_step, init_state

_ENDLESS = 10**9
_RUNS = 5

#: More than a pipeline has ready.
_READY_BATCHES = 16

_UNTIMED_STEPS = 3

#: A set: its name, its songs, and the configuration that fits it.
Source = tuple[str, PreparedSongs, RunConfig]


def prepare_embedded(base: RunConfig, data_dir: Path, console: Console) -> list[Path]:
    """Prepare the embedded songs in both forms; returns the sets' folders."""
    folders = []
    half = FeatureSettings(dtype="float16", signal=base.signal, sequences=base.sequences)
    waveform = FeatureSettings(features="waveform", dtype="int16", signal=base.signal, sequences=base.sequences)
    for settings in (half, waveform):
        preparation = sketch(BUILDERS["embedded"].of(settings, data_dir), None)
        folders.append(preparation.folder)
        if not preparation.done:
            with Bar(console, f"preparing {settings.config_name}", len(preparation.tracks)) as bar:
                preparation.run(run_in_processes(cpu_cores()), bar.advance)
    return folders


def endless_order(songs: PreparedSongs, config: RunConfig, batch: int) -> TrainingOrder:
    """Return an order of so many sequences a batch that does not end."""
    training = dataclasses.replace(config.training, batch_size=batch, steps=_ENDLESS)
    return TrainingOrder.of_songs(songs.song_frames, config.sequences, training, config.data, songs.silent)


def measure_pipelines(sets: Sequence[Source], batch: int, seconds: float) -> list[dict[str, Any]]:
    """Take batches from the pipelines of sets in turn, as fast as they come, each for so many seconds in all.

    Returns:
        A row for each: median and quartiles of the runs' sequences a second, bytes of the arrays as they are handed
        over, and `cpu_share`, the processor time over the time of all cores.
    """
    pipelines = [_from_memory(songs, endless_order(songs, config, batch)) for _, songs, config in sets]
    found = in_turn(range(len(sets)), _RUNS, lambda number: _take(pipelines[number], seconds / _RUNS))
    rows = []
    for (name, songs, _), runs in zip(sets, found.values(), strict=True):
        counts, cpu_s, wall_s = zip(*runs, strict=True)
        rate = Spread.of([count * batch / wall for count, wall in zip(counts, wall_s, strict=True)])
        sequence_bytes = songs.index.settings.array_bytes
        rows.append(
            {
                "name": name,
                "batch": batch,
                "sequences_per_s": rate.median,
                "first_quartile": rate.first_quartile,
                "third_quartile": rate.third_quartile,
                "sequence_bytes": sequence_bytes,
                "cpu_share": sum(cpu_s) / sum(wall_s) / cpu_cores(),
                "mb_per_s": rate.median * sequence_bytes / 1e6,
            }
        )
    return rows


def _from_memory(songs: PreparedSongs, order: TrainingOrder) -> Iterator[Any]:
    """Start a pipeline with an epoch, which brings the set into memory."""
    batches = training_batches(songs, order)
    for _ in itertools.islice(batches, order.steps_per_epoch):
        pass
    return batches


def _take(batches: Iterator[Any], seconds: float) -> tuple[int, float, float]:
    """Return the number of batches in so many seconds, none of them ready before; the processor time, and all time."""
    for _ in range(_READY_BATCHES):
        next(batches)
    cpu_s, start, count = time.process_time(), time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        next(batches)
        count += 1
    return count, time.process_time() - cpu_s, passed


def measure_training(source: Source, system: str, batch: int, steps: int) -> dict[str, Any]:
    """Run training steps one by one, as soon as there is a batch for each.

    Returns:
        In one row the seconds of each step, and of each wait for a batch before it; the median of both together; and
        the share of the whole time that was spent waiting.
    """
    name, songs, base = source
    config = config_of(system, base, {"training.batch_size": batch})
    order = endless_order(songs, config, batch)
    state = init_state(config)
    with without_compilation_cache():
        step, _ = compile_train_step(config, state, example_batch(songs, order))
    batches = TimedBatches(prefetch_to_device(training_batches(songs, order)))
    step_s = []
    for ready in itertools.islice(batches, _UNTIMED_STEPS + steps):
        (state, _), seconds = timed(functools.partial(step, state, ready))
        step_s.append(seconds)
    step_s, wait_s = step_s[_UNTIMED_STEPS:], list(batches.wait_s)[_UNTIMED_STEPS:]
    return {
        "name": name,
        "system": system,
        "batch": batch,
        "step_s": step_s,
        "wait_s": wait_s,
        "median_step_s": statistics.median(map(sum, zip(step_s, wait_s, strict=True))),
        "wait_share": sum(wait_s) / (sum(wait_s) + sum(step_s)),
    }


_PIPELINE_CAPTION = (
    "The pipeline alone, its batches not used: median of five runs and distance of the quartiles, from memory (an "
    "epoch was read before). MB: arrays as they are handed over. CPU: processor time over that of all cores."
)
_TRAINING_CAPTION = (
    "Training steps one by one, each waited for, its batch taken from the pipeline when it begins: median of a step, "
    "and share of the whole time that was spent waiting for batches."
)

_PIPELINES = (
    Column("features", "name", word=True),
    Column("batch", "batch"),
    Column("sequences/s", "sequences_per_s", ",.0f"),
    Column("IQR", lambda row: row["third_quartile"] - row["first_quartile"], ",.0f"),
    Column("MB/s", "mb_per_s", ",.0f"),
    Column("CPU (%)", "cpu_share", ".0f", 100),
)

_TRAININGS = (
    Column("features", "name", word=True),
    Column("system", "system", word=True),
    Column("batch", "batch"),
    Column("step (ms)", "median_step_s", ".1f", 1e3),
    Column("waiting (%)", "wait_share", ".2f", 100),
)


def make_report(pipelines: Sequence[Row], trainings: Sequence[Row], settings: Mapping[str, Any]) -> Report:
    """Return input_throughput.json, table.md and the plot, of all that has been measured so far."""
    tables = [Table(_PIPELINES, pipelines, f"{describe_machine()}. {_PIPELINE_CAPTION}")]
    if trainings:
        tables.append(Table(_TRAININGS, trainings, _TRAINING_CAPTION))
    content = {**made_with(settings), "pipelines": pipelines, "trainings": trainings}
    pictures = {"input_throughput.png": functools.partial(_draw, pipelines, trainings)}
    return Report("input_throughput", content, tables, pictures=pictures)


def _draw(pipelines: Sequence[Row], trainings: Sequence[Row]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, value, title in ((left, "sequences_per_s", "sequences a second"), (middle, "mb_per_s", "MB a second")):
        axes.barh([row["name"] for row in pipelines], [row[value] for row in pipelines])
        axes.set_title(f"pipeline alone: {title}", fontsize=9)
    labels = [f"{row['system']}, batch {row['batch']}, {row['name']}" for row in trainings]
    right.barh(labels, [100 * row["wait_share"] for row in trainings])
    right.axvline(2, color="grey", linestyle=":")
    right.set_title("waiting for input (% of training)", fontsize=9)
    for axes in (left, middle, right):
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
    return figure
