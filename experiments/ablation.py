"""Train, score, count and time separators on the same songs, and show them in one table.

The rows are differences from one base, the preset: a row has its own system (`madsep_jax.config.systems`) and seed, and
nothing else.
"""

import sys
from collections.abc import Sequence
from contextlib import nullcontext

from cyclopts import App

from experiments.cli.command import run
from experiments.cli.console import ANY_DEVICE, make_console, say, show_device
from experiments.rows.options import AblationOptions

_DEFAULTS = AblationOptions()
app = App(name="ablation", usage="Usage: python -m experiments.ablation [OPTIONS]")


@app.default
def ablation(options: AblationOptions = _DEFAULTS) -> int:
    """Train, score, count and time separators on the same songs, and show them in one table.

    Started again in the same folder, it skips the rows that are finished and continues the one that is not; with more
    --steps or --epochs it trains all of them for longer.
    """
    import jax

    from experiments.cli.results import show_results
    from experiments.rows.folder import ExperimentFolder, claimed, claimed_for_all, row_groups
    from experiments.rows.launch import launch
    from experiments.rows.plan import make_plan, plan_table, resolved
    from experiments.rows.report import ALL_FAILED, show, update_report
    from experiments.rows.run_row import run_row, train_rows, training_source
    from experiments.scoring.score_songs import scoring_pool
    from madsep_jax.host.files import clear_leftovers
    from madsep_jax.parallel.processes import is_first_process, join_processes, process_shard, wait_for_all

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
        console.print(plan_table(plan, options.processes, options.engine))
        return 0
    given = plan.how.start_from
    folder = ExperimentFolder.find(
        plan.out, plan.base, plan.songs.fingerprint(), given.fingerprint() if given else None
    )
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
        with claimed_for_all(trained, plan.out) if is_first_process() else nullcontext():
            for row in trained:
                train_rows([row], plan, source_of, console)
        say(console, "Trained. The same command as a single process scores the rows.")
        return 0
    if options.launch.launcher:
        return launch(plan, folder, options, console)
    if not options.only_rows:
        update_report(plan, folder)
    with scoring_pool(options.processes, options.engine) as pool:
        for group in row_groups(plan.rows, options.vectorize_seeds):
            with claimed(group, folder, console, in_job=bool(options.only_rows)) as rows:
                results = train_rows(rows, plan, source_of, console)
                for row in rows:
                    folder.finish(row, run_row(row, results.get(row.folder_name), plan, pool, options, console))
                    if not options.only_rows:
                        report = update_report(plan, folder)
                        if row is not plan.rows[-1]:
                            show(console, plan, report, with_caption=False)
    failed = folder.all_failed(plan.rows)
    if options.only_rows:
        return int(failed)
    show(console, plan, update_report(plan, folder), with_caption=True)
    show_results(console, plan.out, "table.md", "results.csv", "results.json", "plots", "a checkpoint for each row")
    if failed:
        say(console, ALL_FAILED)
    return int(failed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
