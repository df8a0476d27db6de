"""Everything that an experiment writes for its reader, rewritten after each row: tables, pictures, JSON."""

import csv
import functools
import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from experiments.cli.console import say
from experiments.cli.results import Column, Report, Row, Table
from experiments.rows.answer import UNIT, answer
from experiments.rows.folder import ExperimentFolder
from experiments.rows.identity import LENGTH
from experiments.rows.plan import Plan
from experiments.rows.row import RowResult
from experiments.scoring.protocols import PROTOCOLS
from madsep_jax.config.io import to_dict
from madsep_jax.config.signal import SeparationConfig, SignalConfig
from madsep_jax.config.systems import mark_of
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.locks import lock

ALL_FAILED = "All rows that are trained have failed; their status says why."


def caption(plan: Plan, results: Sequence[RowResult]) -> str:
    """Return what a reader must know to read the numbers."""
    base, full = plan.base, SignalConfig()
    size = base.training.batch_size
    lines = [f"Preset {base.preset}; {plan.songs.description}; {plan.steps_of(base):,} steps of {size} sequences."]
    others = {row.system: row.config for row in plan.rows if row.config and row.config.sequences != base.sequences}
    for system, config in others.items():
        length = "single frames" if config.sequences.frames == 1 else f"sequences of {config.sequences.frames} frames"
        lines.append(f"{system}: {plan.steps_of(config):,} steps of {config.training.batch_size} {length}.")
    if base.signal != full:
        lines.append(
            f"Scaled-down signal: {base.signal.sample_rate:,} Hz and {base.signal.bins} bins in place of "
            f"{full.sample_rate:,} Hz and {full.bins}; not comparable with published scores."
        )
    if given := plan.how.start_from:
        lines.append(f"Trained from the weights of {given.path} ({given.description}).")
    if shorter := _shorter(plan, results):
        lines.append(f"Trained before for fewer steps: {'; '.join(shorter)}.")
    rule = base.training.early_stopping
    if rule.patience is not None:
        lines.append(
            f"A training ends after {rule.patience} validations without an improvement of the {rule.metric}; the "
            f"checkpoint with the best one is scored."
        )
    else:
        lines.append("The last checkpoint of a training is scored.")
    stopped = [f"{result.system}, seed {result.seed}: {result.steps:,}" for result in results if result.stopped_early]
    if stopped:
        lines.append(f"Stopped early, after steps: {'; '.join(stopped)}.")
    lines += [_separation(base.separation), _protocol(results)]
    scoring = sum(result.score_s or 0 for result in results)
    # of rows of before it was written down, the machine is taken to be this one
    machines = dict.fromkeys(describe_machine(result.environment) for result in results) or [describe_machine()]
    lines.append(
        f"{'; '.join(machines)}. Train step: median, compilation apart. "
        f"Real-time factor: seconds to separate a second of stereo audio. Scoring took {scoring:.0f} s in all."
    )
    return " ".join(lines)


def _shorter(plan: Plan, results: Sequence[RowResult]) -> list[str]:
    """Return which rows no command has trained for as long as the plan says, and their steps."""
    wanted = to_dict(plan.base)["training"]

    def is_shorter(one: RowResult) -> bool:
        return any((one.config or {})["training"][name] != wanted[name] for name in LENGTH)

    others = [one for one in results if one.steps and not one.stopped_early and is_shorter(one)]
    return [f"{one.system}, seed {one.seed}: {one.steps:,}" for one in others]


def update_report(plan: Plan, folder: ExperimentFolder) -> list[RowResult]:
    """Write results.json, results.csv, table.md and the pictures of all rows that are finished by now; returns these.

    The last process to finish a row writes last, so that none is missing in the end.
    """
    with lock(plan.out / ".report.lock"):
        results = folder.results(plan.rows)
        if results:
            _report(plan, results).write(plan.out)
    return results


def _report(plan: Plan, results: Sequence[RowResult]) -> Report:
    text, seeds, found = caption(plan, results), seed_table(results), answer(results, plan.out, plan.baseline)
    content = {
        "caption": text,
        "protocol": "sisec18",
        "base": to_dict(plan.base),
        "songs": plan.songs.description,
        "environment": environment(),
        "answer": found.sentences,
        "differences": found.differences,
        "rows": results,
    }
    tables = [table for table in (row_table(results, text), seeds, found.table(UNIT)) if table]
    return Report("results", content, tables, {"results.csv": csv_table(results)}, quality_pictures(results))


def show(console: Console, plan: Plan, results: Sequence[RowResult], *, with_caption: bool) -> None:
    """Print the table as it is so far."""
    failed = [number for number, row in enumerate(results) if row.failed]
    console.print(row_table(results).terminal(failed=failed))
    if seeds := seed_table(results):
        console.print(seeds.terminal())
    for sentence in answer(results, plan.out, plan.baseline).shown:
        say(console, sentence)
    if with_caption:
        console.print(caption(plan, results), markup=False)


def _separation(config: SeparationConfig) -> str:
    if config == SeparationConfig():
        return "Songs are separated as published: by masks without a limit, at the level that they have."
    limit = "without a limit" if config.mask_limit is None else f"of at most {config.mask_limit:g}"
    level = "they have" if config.level == "song" else "the training had"
    return f"Songs are separated by masks {limit}, at the level that {level}."


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


_METRICS = ("SDR", "SIR", "SAR", "ISR")


def _db(metric: str, target: str = "vocals") -> Callable[[Row], float | None]:
    """Return what gives the median of a row, the fields of a `RowResult`."""
    return lambda row: RowResult(**row).median_db(metric, target)


#: By their names in results.csv. Of a ratio that only rounding keeps from infinity the digits are not shown.
COLUMNS = {
    "system": Column("system", "system", word=True),
    "seed": Column("seed", "seed"),
    **{f"voice_{name.lower()}_db": Column(f"{name} (dB)", _db(name), ".2f", most=100) for name in _METRICS},
    "accompaniment_sdr_db": Column("accomp. SDR (dB)", _db("SDR", "accompaniment"), ".2f", most=100),
    "masker_parameters": Column("masker params", "masker_parameters", ",d"),
    "total_parameters": Column("total params", "total_parameters", ",d"),
    "gflop_per_audio_second": Column("GFLOP / s audio", "gflop_per_audio_second", ".2f"),
    "train_step_ms": Column("train step (ms)", "train_step_s", ".1f", factor=1000),
    "compile_s": Column("compile (s)", "compile_s", ".1f"),
    "real_time_factor": Column("real-time factor", "real_time_factor", ".4f"),
    "status": Column("status", "status"),
}


def row_table(results: Sequence[RowResult], caption: str = "") -> Table:
    """Return the table of all rows; with their status only where one has failed."""
    hidden = () if any(result.failed for result in results) else ("status",)
    columns = [column for name, column in COLUMNS.items() if name not in hidden]
    return Table(columns, [vars(result) for result in results], caption)


def csv_table(results: Sequence[RowResult]) -> str:
    """Return the table as CSV with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")  # which leaves what is not known empty
    writer.writerow(COLUMNS)
    writer.writerows([column.found(vars(result)) for column in COLUMNS.values()] for result in results)
    return text.getvalue()


def seed_table(results: Sequence[RowResult]) -> Table | None:
    """Return a table of the systems with the scores of two seeds or more; None where there is none."""
    by_system: dict[str, list[RowResult]] = {}
    for result in results:
        if result.seed is not None and result.scores:
            by_system.setdefault(result.system, []).append(result)
    rows = [_of_seeds(system, seeds) for system, seeds in by_system.items() if len(seeds) > 1]
    columns = [
        Column("system", "system", word=True),
        Column("seeds", "seeds"),
        *(Column(f"{metric} (dB)", metric) for metric in _METRICS),
        Column("training (s)", "train_s", ".0f"),
    ]
    lead = "Mean ± standard deviation (n - 1) over the seeds:"
    return Table(columns, rows, title="mean ± standard deviation over the seeds", lead=lead) if rows else None


def _of_seeds(system: str, seeds: Sequence[RowResult]) -> Row:
    row = {"system": system, "seeds": len(seeds), "train_s": sum(seed.train_s or 0 for seed in seeds)}
    for metric in _METRICS:
        found = [value for seed in seeds if (value := seed.median_db(metric)) is not None]
        row[metric] = f"{statistics.fmean(found):.2f} ± {statistics.stdev(found):.2f}" if len(found) > 1 else None
    return row


def quality_pictures(results: Sequence[RowResult]) -> dict[str, Callable[[], Any]]:
    """Return what draws voice SDR against parameters and against GFLOP per second of audio, by the files' names.

    Each system has a colour of its own. The rows without a model are horizontal lines. There are no pictures where no
    model has scores yet.
    """
    scored = [row for row in results if row.median_db("SDR") is not None]
    models = [row for row in scored if row.total_parameters]
    if not models:
        return {}
    references = [row for row in scored if not row.total_parameters]
    draw = functools.partial(_draw, models, references)
    return {
        "sdr_against_parameters.png": lambda: draw("parameters (masker + denoiser)", "total_parameters"),
        "sdr_against_gflop.png": lambda: draw("forward GFLOP per second of audio", "gflop_per_audio_second"),
    }


def _draw(models: Sequence[RowResult], references: Sequence[RowResult], label: str, field: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, system in enumerate(dict.fromkeys(row.system for row in models)):
        seeds = [row for row in models if row.system == system]
        x: Any = [getattr(row, field) for row in seeds]
        y: Any = [row.median_db("SDR") for row in seeds]
        axes.scatter(x, y, marker=mark_of(system), color=colormaps["tab20"](number % 20), s=55, label=system)
    for row in references:
        sdr_db: Any = row.median_db("SDR")
        axes.axhline(sdr_db, color="grey", linestyle=":", linewidth=1)
        axes.text(0.01, sdr_db, row.system, transform=axes.get_yaxis_transform(), color="grey", va="bottom")
    axes.set_xscale("log")
    shown = FuncFormatter(lambda x, _: f"{x / 1e6:g} M" if x >= 1e5 else f"{x:g}")
    axes.xaxis.set_major_formatter(shown)
    axes.xaxis.set_minor_formatter(shown)
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.margins(x=0.15)
    axes.set_xlabel(label)
    axes.set_ylabel("voice SDR (dB), median")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    return figure
