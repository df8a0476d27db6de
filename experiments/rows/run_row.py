"""One row from songs to scores; of the seeds of a system, all are trained before any is scored."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Literal

from rich.console import Console

from data_pipelines.batches.sources import SongSpectrograms, Source
from data_pipelines.songs.spectrograms import load_features
from experiments.cli.console import Bar, say
from experiments.rows.options import AblationOptions
from experiments.rows.plan import Plan
from experiments.rows.row import Row, RowResult
from experiments.scoring.estimators import checkpoint_estimator, reference_estimator
from experiments.scoring.score_songs import score_tracks
from experiments.training.loop import OnStep, train_row, train_seeds
from experiments.training.saving import finished_training
from experiments.training.validation import validation_scores
from madsep_jax.checkpoint.folder import checkpoint_folder
from madsep_jax.config.io import to_dict
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.saving import SavingConfig
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.variables import parameter_counts
from madsep_jax.train.running import NonFiniteLossError

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
    saving: SavingConfig,
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


def training_source(plan: Plan, options: AblationOptions, console: Console) -> SourceOf:
    """Return what gives a row its training sequences: a prepared set, or spectrograms computed now or before."""
    if plan.songs.prepared:
        from data_pipelines.prepared.reader import PreparedSongs

        plan.songs.prepared.check(console)
        prepared = PreparedSongs(plan.songs.prepared.folder)
        return lambda config: prepared
    with Bar(console, "spectrograms", len(plan.songs.train)) as bar:
        features = load_features(plan.songs.train, plan.base.signal, options.cache, bar.advance)
    return lambda config: SongSpectrograms(features, config.sequences)


def check_songs(plan: Plan, console: Console) -> None:
    """Read the songs that will be scored, so that a bad one is found before hours of training and not after."""
    with Bar(console, "checking test songs", len(plan.songs.test + plan.songs.validation)) as bar:
        for track in plan.songs.test + plan.songs.validation:
            track.read()
            bar.advance()


def run_row(
    row: Row,
    plan: Plan,
    source_of: SourceOf,
    pool: Executor,
    options: AblationOptions,
    console: Console,
) -> RowResult:
    """Train a row where it has a model, separate the test songs, and score them."""
    folder = row.folder(plan.out)
    if row.config is None:
        result = RowResult(system=row.system, seed=None)
        estimator = reference_estimator(row.system, plan.base.signal)
    else:
        counts = parameter_counts(row.config.model)
        result = RowResult(
            system=row.system,
            seed=row.seed,
            masker_parameters=counts.get("masker"),
            total_parameters=sum(counts.values()),
            gflop_per_audio_second=forward_gflop_per_second(row.config),
            config=to_dict(row.config),
        )
        try:
            with Bar(console, f"{row.folder_name}: training", plan.steps_of(row.config)) as bar:
                on_step = step_reporter(bar, row.config.training.batch_size)
                parallel, saving = options.sharing.config(), options.saving.config()
                watching = dataclasses.replace(plan.watching, say=functools.partial(say, console))
                source = source_of(row.config)
                trained = train_row(row.config, source, folder, on_step, parallel, watching, saving)
        except NonFiniteLossError as error:
            say(console, f"{row.folder_name}: {error}")
            return dataclasses.replace(result, status=f"failed: {error}")
        which: Literal["latest", "best"] = "latest" if row.config.training.early_stopping.patience is None else "best"
        estimator, real_time_factor = checkpoint_estimator(checkpoint_folder(folder), which)
        result = dataclasses.replace(
            result,
            steps=trained.steps,
            compile_s=trained.compile_s,
            train_step_s=trained.step_s,
            train_s=trained.total_s,
            stopped_early=trained.stopped_early,
            validation=validation_scores(folder),
            real_time_factor=real_time_factor(plan.songs.test[0].read()),
        )
    start = time.perf_counter()
    with Bar(console, f"{row.folder_name}: scoring", len(plan.songs.test)) as bar:
        aggregate = score_tracks(
            plan.songs.test, estimator, folder, pool, options.processes, options.engine, bar.advance
        )
    return dataclasses.replace(result.with_scores(aggregate), score_s=time.perf_counter() - start)
