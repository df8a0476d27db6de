"""Everything that an experiment writes for its reader, rewritten after each row."""

import dataclasses
from collections.abc import Sequence

from rich.console import Console

from experiments.experiment_folder import ExperimentFolder
from experiments.locks import lock
from experiments.plan import Plan
from experiments.plots import plot_quality
from experiments.rows import RowResult
from experiments.scoring.protocols import PROTOCOLS
from experiments.seed_table import seed_markdown, seed_terminal
from experiments.table import csv_table, markdown_table, terminal_table
from madsep_jax.config import SignalConfig
from madsep_jax.config_io import to_dict
from madsep_jax.environment import describe_machine, environment
from madsep_jax.files import write_json, write_text


def caption(plan: Plan, results: Sequence[RowResult]) -> str:
    """Return what a reader must know to read the numbers."""
    base, full = plan.base, SignalConfig()
    lines = [
        f"Preset {base.preset}; {plan.songs.description}; {plan.steps_of(base):,} steps of {base.training.batch_size} "
        f"sequences."
    ]
    others = {row.system: row.config for row in plan.rows if row.config and row.config.sequences != base.sequences}
    for system, config in others.items():
        length = "single frames" if config.sequences.frames == 1 else f"sequences of {config.sequences.frames} frames"
        lines.append(f"{system}: {plan.steps_of(config):,} steps of {config.training.batch_size} {length}.")
    if base.signal != full:
        lines.append(
            f"Scaled-down signal: {base.signal.sample_rate:,} Hz and {base.signal.bins} bins in place of "
            f"{full.sample_rate:,} Hz and {full.bins}; not comparable with published scores."
        )
    rule = base.training.early_stopping
    if rule.patience is not None:
        lines.append(
            f"A training ends after {rule.patience} validations without an improvement of the {rule.metric}; the "
            f"checkpoint with the best one is scored."
        )
    stopped = [f"{result.system}, seed {result.seed}: {result.steps:,}" for result in results if result.stopped_early]
    if stopped:
        lines.append(f"Stopped early, after steps: {'; '.join(stopped)}.")
    lines.append(_protocol(results))
    scoring = sum(result.score_s or 0 for result in results)
    lines.append(
        f"{_machines(results)}. Train step: median, compilation apart. "
        f"Real-time factor: seconds to separate a second of stereo audio. Scoring took {scoring:.0f} s in all."
    )
    return " ".join(lines)


def update_report(plan: Plan, folder: ExperimentFolder) -> list[RowResult]:
    """Write the report of all rows that are finished by now, by whichever process; returns them.

    The last process to finish a row writes last, so that none is missing in the end.
    """
    with lock(plan.out / ".report.lock"):
        results = folder.results(plan.rows)
        if results:
            write_report(plan, results)
    return results


def write_report(plan: Plan, results: Sequence[RowResult]) -> None:
    """Write results.json, results.csv, table.md and the plots into the experiment's folder."""
    text = caption(plan, results)
    content = {
        "caption": text,
        "protocol": "sisec18",
        "base": to_dict(plan.base),
        "songs": plan.songs.description,
        "environment": environment(),
        "rows": [dataclasses.asdict(result) for result in results],
    }
    write_json(plan.out / "results.json", content)
    write_text(plan.out / "results.csv", csv_table(results))
    write_text(plan.out / "table.md", markdown_table(results, text) + seed_markdown(results))
    plot_quality(results, plan.out)


def show(console: Console, plan: Plan, results: Sequence[RowResult], *, with_caption: bool) -> None:
    """Print the table as it is so far."""
    console.print(terminal_table(results))
    if (seeds := seed_terminal(results)) is not None:
        console.print(seeds)
    if with_caption:
        console.print(caption(plan, results), markup=False)


def _machines(results: Sequence[RowResult]) -> str:
    """Return what the rows were run on; those of before this was written down, on what this process runs on."""
    return "; ".join(dict.fromkeys(describe_machine(result.environment) for result in results)) or describe_machine()


def _protocol(results: Sequence[RowResult]) -> str:
    scores = [result.scores for result in results if result.scores]
    names = sorted({score["protocol"] for score in scores}) or ["sisec18"]
    text = "; ".join(f"{PROTOCOLS[name].description} ({name})" for name in names)
    # rows of before the engine was written down are museval's
    engines = sorted({score.get("engine", "museval") for score in scores})
    text = f"Scores of the voice: {text}" + (f", by {' and '.join(engines)}" if engines else "")
    if not scores:
        return f"{text}."
    voice = [score["targets"]["vocals"] for score in scores]
    windows, silent = voice[0]["windows"], max(target["nan_windows"] for target in voice)
    if not silent:
        return f"{text}; {windows} windows a row, all of them with scores."
    return f"{text}; {windows} windows a row, of which up to {silent} have no score for a source that is silent there."
