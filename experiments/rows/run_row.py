"""The rows of an experiment, from songs to scores: seeds of a system may be trained together, each row is scored."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext

import jax
from rich.console import Console

from data_pipelines.batches.sources import SongSpectrograms, Source
from data_pipelines.songs.spectrograms import load_features
from experiments.cli.console import ANY_DEVICE, Bar, make_console, say, show_device
from experiments.cli.results import show_results
from experiments.pages.page import REPORT
from experiments.rows.estimate import plan_table
from experiments.rows.folder import ExperimentFolder, claimed, claimed_for_all, row_groups, row_state
from experiments.rows.launch import launch
from experiments.rows.live import LiveRows, Work
from experiments.rows.memory import RowMemory, rows_memory
from experiments.rows.options import AblationOptions
from experiments.rows.plan import Plan, make_plan, resolved
from experiments.rows.report import ALL_FAILED, show, update_report
from experiments.rows.row import PlannedRow, RowResult
from experiments.scoring.estimators import checkpoint_estimator, reference_estimator
from experiments.scoring.excerpts import ExcerptFolders
from experiments.scoring.score_songs import score_tracks, scoring_pool
from experiments.training.log import read_log
from experiments.training.loop import OnStep, train
from experiments.training.saving import TrainResult
from madsep_jax.checkpoint.folder import checkpoint_folder
from madsep_jax.config.io import to_dict
from madsep_jax.config.run import RunConfig
from madsep_jax.host.files import clear_leftovers
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.variables import parameter_counts
from madsep_jax.parallel.processes import is_first_process, join_processes, process_shard, wait_for_all
from madsep_jax.train.running import NonFiniteLossError

SourceOf = Callable[[RunConfig], Source]

_HELP = "--dry-run says what would make it fit, --ignore-memory tries all the same"


def run_rows(options: AblationOptions) -> int:
    """Do what the options of the ablation ask for; returns the exit code."""
    if options.print_config:
        say(make_console(), resolved(options))
        return 0
    if options.launch.launcher:
        jax.config.update("jax_platforms", "cpu")  # the accelerator is for the jobs
    else:
        join_processes(options.joining.config())
    console = make_console(quiet=not is_first_process())
    show_device(console, ANY_DEVICE if options.launch.launcher else options.device)
    plan = make_plan(options, console)
    if options.dry_run:
        memory = {} if options.launch.launcher else _memory(plan, options, console)  # else of the jobs' devices
        console.print(plan_table(plan, options.processes, options.engine, memory))
        for name, needed in memory.items():
            if needed.fits is False:
                say(console, needed.line(name))
        return 0
    given = plan.how.start_from
    weights = given.fingerprint() if given else None
    folder = ExperimentFolder.find(plan.out, plan.base, plan.songs.fingerprint(), weights)
    wait_for_all("folder checked")
    source_of = training_source(plan, options, console)
    if is_first_process():
        if folder.is_new and plan.how.validation and plan.base.training.early_stopping.patience is not None:
            plan.how.validation.require_voice()
        clear_leftovers(options.cache / "spectrograms")
        folder.create()
    wait_for_all("songs checked")
    if process_shard()[1] > 1:
        trained = [row for row in plan.rows if row.config]
        claim = claimed_for_all(trained, plan.out) if is_first_process() else nullcontext()
        with claim, LiveRows(console, plan) as view:
            results = [train_rows([row], plan, source_of, view) for row in trained]
        say(console, "Trained. The same command as a single process scores the rows.")
        return int(any(isinstance(result, MemoryError) for found in results for result in found.values()))
    if options.launch.launcher:
        return launch(plan, folder, options, console)
    return _run_here(plan, folder, source_of, options, console)


def _memory(plan: Plan, options: AblationOptions, console: Console) -> dict[str, RowMemory]:
    """Return what each row needs, by its folder's name."""
    configs = {row.folder_name: row.config for row in plan.rows if row.config}
    seeds = options.seed_count if options.vectorize_seeds else 1
    memory = rows_memory(configs.values(), plan.how.parallel, seeds)
    asked = memory.asked()
    with Bar(console, "memory", len(asked)) as bar:
        memory.ask(asked, bar.advance)
    return {name: memory.of(config) for name, config in configs.items()}


def _run_here(
    plan: Plan, folder: ExperimentFolder, source_of: SourceOf, options: AblationOptions, console: Console
) -> int:
    """Run all rows, one after the other, and show the table in the end; a job leaves the table to others."""
    in_job, refused = bool(options.only_rows), list[str]()
    if not in_job:
        update_report(plan, folder)
    view = LiveRows(console, plan, options.vectorize_seeds)
    with scoring_pool(options.processes, options.engine) as pool, view:
        view.show({row.folder_name: row_state(row, folder) for row in plan.rows}, said=False)
        for group in row_groups(plan.rows, options.vectorize_seeds):
            with claimed(group, folder, console, in_job=in_job) as rows:
                results = train_rows(rows, plan, source_of, view)
                for row in rows:
                    trained = results.get(row.folder_name)
                    if isinstance(trained, MemoryError):  # left to do, with more memory or less to hold
                        refused.append(f"{row.folder_name}: not trained, {trained}; {_HELP}")
                        continue
                    result = run_row(row, trained, plan, pool, options, view)
                    folder.finish(row, result)
                    view.finished(row, result)
                    if not in_job:
                        update_report(plan, folder)
    failed = folder.all_failed(plan.rows) or bool(refused)
    if not in_job:
        show(console, plan, update_report(plan, folder, with_page=True))
        files = (REPORT, "table.md", "results.csv", "results.json", "plots", "a checkpoint for each row")
        show_results(console, plan.out, *files)
        if folder.all_failed(plan.rows):
            say(console, ALL_FAILED)
    for line in refused:
        say(console, line)
    return int(failed)


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


def step_reporter(work: Work) -> OnStep:
    """Return what shows the steps of a training."""
    return lambda step, metrics: work.advance_to(step, metrics["loss"])


def train_rows(
    rows: Sequence[PlannedRow], plan: Plan, source_of: SourceOf, view: LiveRows
) -> dict[str, TrainResult | NonFiniteLossError | MemoryError]:
    """Train rows that differ in their seed alone, in one program; those without a model are passed over.

    Where the loss of one of several seeds becomes infinite, or together they need too much memory, each of them goes on
    by itself.

    Returns:
        What each training took, or how it failed, by the row's folder name.
    """
    rows, configs = [row for row in rows if row.config], [row.config for row in rows if row.config]
    if not rows:
        return {}
    name = rows[0].folder_name if len(rows) == 1 else f"{rows[0].system}, {len(rows)} seeds"
    how = dataclasses.replace(plan.how, say=functools.partial(say, view.console))
    try:
        with view.work(rows, "training", plan.steps_of(configs[0])) as work:
            on_step, folders = step_reporter(work), [row.folder(plan.out) for row in rows]
            results = train(configs, folders, source_of(configs[0]), on_step, how)
    except (NonFiniteLossError, MemoryError) as error:
        say(view.console, f"{name}: {error}")
        if len(rows) == 1:
            return {name: error}
        alone = [train_rows([row], plan, source_of, view) for row in rows]
        return {name: result for of_row in alone for name, result in of_row.items()}
    return {row.folder_name: result for row, result in zip(rows, results, strict=True)}


def run_row(
    row: PlannedRow,
    trained: TrainResult | NonFiniteLossError | None,
    plan: Plan,
    pool: Executor,
    options: AblationOptions,
    view: LiveRows,
) -> RowResult:
    """Separate the test songs and score them; `trained` is what the row's training took, None without a model."""
    folder, songs = row.folder(plan.out), plan.songs.test
    if row.config is None or trained is None:
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
            start_from=plan.how.start_from.about() if plan.how.start_from else None,
            config=to_dict(row.config),
        )
        if isinstance(trained, NonFiniteLossError):
            return dataclasses.replace(result, status=f"failed: {trained}")
        estimator, real_time_factor = checkpoint_estimator(checkpoint_folder(folder))
        result = dataclasses.replace(
            result,
            steps=trained.steps,
            compile_s=trained.compile_s,
            train_step_s=trained.step_s,
            train_s=trained.total_s,
            stopped_early=trained.stopped_early,
            validation=read_log(folder, "validation") or None,
            real_time_factor=real_time_factor(songs[0].read()),
        )
    start = time.perf_counter()
    with view.work([row], "scoring", len(songs)) as work:
        how = options.processes, options.engine, work.advance
        excerpts = None if options.no_excerpts else ExcerptFolders(plan.out / "excerpts", folder / "excerpts")
        scores = score_tracks(songs, estimator, folder, pool, *how, excerpts)
    return dataclasses.replace(result, scores=dataclasses.asdict(scores), score_s=time.perf_counter() - start)
