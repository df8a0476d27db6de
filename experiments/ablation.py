"""Train, score, count and time separators on the same songs, and show them in one table.

The rows are differences from one base, the preset: a row has its own system (`experiments.systems`) and seed, and
nothing else.
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import Literal

import jax
from cyclopts import App
from rich.console import Console

from data_pipelines.features import load_features
from data_pipelines.sources import SongSpectrograms
from experiments.claims import claimed, claimed_for_all, row_groups
from experiments.command import run
from experiments.device_line import ANY_DEVICE, show_device
from experiments.experiment_folder import ExperimentFolder
from experiments.launching.launch import launch
from experiments.options import AblationOptions
from experiments.plan import Plan, make_plan, plan_table
from experiments.progress import Bar, make_console, say
from experiments.report import show, update_report
from experiments.rows import Row, RowResult
from experiments.score_row import checkpoint_estimator, reference_estimator, score_tracks
from experiments.scoring.pool import scoring_pool
from experiments.train_ahead import SourceOf, step_reporter, train_ahead
from experiments.train_row import checkpoint_folder, train_row
from experiments.validation import validation_scores
from madsep_jax.config_io import to_dict
from madsep_jax.cost import forward_gflop_per_second
from madsep_jax.models.shapes import parameter_counts
from madsep_jax.parallel.processes import is_first_process, join_processes, process_shard, wait_for_all
from madsep_jax.train import NonFiniteLossError

_DEFAULTS = AblationOptions()
app = App(name="ablation", usage="Usage: python -m experiments.ablation [OPTIONS]", version_flags=[])


@app.default
def ablation(options: AblationOptions = _DEFAULTS) -> int:
    """Train, score, count and time separators on the same songs, and show them in one table.

    Started again in the same folder, it skips the rows that are finished and continues the one that is not.
    """
    if options.launch.launcher:
        jax.config.update("jax_platforms", "cpu")  # the accelerator is for the jobs
    else:
        join_processes(options.sharing.processes())
    console = make_console(quiet=not is_first_process())
    show_device(console, ANY_DEVICE if options.launch.launcher else options.device)
    plan = make_plan(options)
    if options.dry_run:
        console.print(plan_table(plan, options.processes, options.engine))
        return 0
    folder = ExperimentFolder.find(plan.out, plan.base, plan.songs.fingerprint())
    wait_for_all("folder checked")
    source_of = training_source(plan, options, console)
    if folder.is_new and is_first_process():
        check_songs(plan, console)
        folder.create()
    wait_for_all("songs checked")
    parallel = options.sharing.config()
    if process_shard()[1] > 1:
        trained = [row for row in plan.rows if row.config]
        with claimed_for_all(trained, plan.out) if is_first_process() else nullcontext():
            for row in trained:
                train_ahead([row], plan, source_of, parallel, options.saving, console)
        say(console, "Trained. The same command as a single process scores the rows.")
        return 0
    if options.launch.launcher:
        return launch(plan, folder, options, console)
    if not options.only_rows:
        update_report(plan, folder)
    with scoring_pool(options.processes, options.engine) as pool:
        for group in row_groups(plan.rows, options.vectorize_seeds):
            with claimed(group, folder, console, in_job=bool(options.only_rows)) as rows:
                if len(rows) > 1:
                    train_ahead(rows, plan, source_of, parallel, options.saving, console)
                for row in rows:
                    folder.finish(row, run_row(row, plan, source_of, pool, options, console))
                    if not options.only_rows:
                        results = update_report(plan, folder)
                        if row is not plan.rows[-1]:
                            show(console, plan, results, with_caption=False)
    if options.only_rows:
        return 0
    show(console, plan, update_report(plan, folder), with_caption=True)
    say(console, f"Results: {plan.out}/ (table.md, results.csv, results.json, plots, a checkpoint for each row)")
    return 0


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
                parallel = options.sharing.config()
                watching = dataclasses.replace(plan.watching, say=functools.partial(say, console))
                source = source_of(row.config)
                trained = train_row(row.config, source, folder, on_step, parallel, watching, options.saving)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
