"""Rows that are trained before any of them is scored: the seeds of a system, or all rows where processes share them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from rich.console import Console

from data_pipelines.sources import Source
from experiments.plan import Plan
from experiments.progress import Bar, say
from experiments.rows import Row
from experiments.save_options import SaveOptions
from experiments.train_row import OnStep, finished_training, train_row, train_seeds
from madsep_jax.config import ParallelConfig, RunConfig
from madsep_jax.fitting import NonFiniteLossError

SourceOf = Callable[[RunConfig], Source]


def step_reporter(bar: Bar, sequences: int) -> OnStep:
    """Return what shows the steps of a training; `sequences` are those of a step."""

    def report(step: int, metrics: dict[str, float]) -> None:
        parts = " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        bar.advance_to(step, f"{parts} | {bar.rate() * sequences:.1f} sequences/s")

    return report


def train_ahead(
    rows: Sequence[Row],
    plan: Plan,
    source_of: SourceOf,
    parallel: ParallelConfig,
    saving: SaveOptions,
    console: Console,
) -> None:
    """Train rows that differ in their seed alone, or a single one; what has been trained is left as it is.

    A loss that becomes infinite ends the training. Of several seeds, each then goes on by itself when its row is run.
    """
    left = [row for row in rows if row.config and not finished_training(row.folder(plan.out))]
    configs, folders = [row.config for row in left if row.config], [row.folder(plan.out) for row in left]
    if not configs:
        return
    name = left[0].folder_name if len(left) == 1 else f"{left[0].system}, {len(left)} seeds"
    watching = dataclasses.replace(plan.watching, say=functools.partial(say, console))
    try:
        with Bar(console, f"{name}: training", plan.steps_of(configs[0])) as bar:
            on_step = step_reporter(bar, configs[0].training.batch_size * len(configs))
            if len(configs) == 1:
                train_row(configs[0], source_of(configs[0]), folders[0], on_step, parallel, watching, saving)
            else:
                train_seeds(configs, source_of(configs[0]), folders, on_step, parallel, watching, saving)
    except NonFiniteLossError as error:
        say(console, f"{name}: {error}")
