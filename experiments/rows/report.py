"""Everything that an experiment writes for its reader, rewritten after each row: tables, pictures, JSON."""

import csv
import dataclasses
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from experiments.cli.tables import markdown_table, terminal_table
from experiments.rows.folder import ExperimentFolder
from experiments.rows.plan import Plan
from experiments.rows.plots import plot_quality
from experiments.rows.row import RowResult
from experiments.scoring.protocols import PROTOCOLS
from madsep_jax.config.io import to_dict
from madsep_jax.config.signal import SignalConfig
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text
from madsep_jax.host.locks import lock


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
    write_text(plan.out / "table.md", rows_markdown(results, text) + seed_markdown(results))
    plot_quality(results, plan.out)


def show(console: Console, plan: Plan, results: Sequence[RowResult], *, with_caption: bool) -> None:
    """Print the table as it is so far."""
    console.print(rows_terminal(results))
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


_METRICS = ("SDR", "SIR", "SAR", "ISR")
_TITLES = ["system", "seeds", *(f"{metric} (dB)" for metric in _METRICS), "training (s)"]


def seed_rows(results: Sequence[RowResult]) -> list[list[str]]:
    """Return a line of the table for each system with the scores of two seeds or more."""
    by_system: dict[str, list[RowResult]] = {}
    for result in results:
        if result.seed is not None and result.scores:
            by_system.setdefault(result.system, []).append(result)
    return [_line(system, seeds) for system, seeds in by_system.items() if len(seeds) > 1]


def _line(system: str, seeds: Sequence[RowResult]) -> list[str]:
    cells = [system, str(len(seeds))]
    for metric in _METRICS:
        values = [value for seed in seeds if (value := seed.median_db(metric)) is not None]
        cells.append(f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else "–")
    return [*cells, f"{sum(seed.train_s or 0 for seed in seeds):.0f}"]


def seed_markdown(results: Sequence[RowResult]) -> str:
    """Return the table in markdown with a line before it; nothing where no system has several seeds."""
    rows = seed_rows(results)
    if not rows:
        return ""
    return f"\nMean ± standard deviation (n - 1) over the seeds:\n\n{markdown_table(_TITLES, rows)}\n"


def seed_terminal(results: Sequence[RowResult]) -> Table | None:
    """Return the table for a terminal; None where no system has several seeds."""
    rows = seed_rows(results)
    if not rows:
        return None
    return terminal_table(_TITLES, rows, title="mean ± standard deviation over the seeds")


_MOST_DB = 100


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    title: str
    csv_name: str
    value: Callable[[RowResult], object]
    format: str = ""

    def text(self, row: RowResult) -> str:
        """Return the cell as it is shown: ratios that only rounding keeps from infinity without their digits."""
        value = self.value(row)
        if self.csv_name.endswith("_db") and isinstance(value, float) and value > _MOST_DB:
            return f">{_MOST_DB}"
        return "–" if value is None else format(value, self.format)


COLUMNS = (
    Column("system", "system", lambda row: row.system),
    Column("seed", "seed", lambda row: row.seed),
    Column("SDR (dB)", "voice_sdr_db", lambda row: row.median_db("SDR"), ".2f"),
    Column("SIR (dB)", "voice_sir_db", lambda row: row.median_db("SIR"), ".2f"),
    Column("SAR (dB)", "voice_sar_db", lambda row: row.median_db("SAR"), ".2f"),
    Column("ISR (dB)", "voice_isr_db", lambda row: row.median_db("ISR"), ".2f"),
    Column("accomp. SDR (dB)", "accompaniment_sdr_db", lambda row: row.median_db("SDR", "accompaniment"), ".2f"),
    Column("masker params", "masker_parameters", lambda row: row.masker_parameters, ",d"),
    Column("total params", "total_parameters", lambda row: row.total_parameters, ",d"),
    Column("GFLOP / s audio", "gflop_per_audio_second", lambda row: row.gflop_per_audio_second, ".2f"),
    Column("train step (ms)", "train_step_ms", lambda row: _scaled(row.train_step_s, 1000), ".1f"),
    Column("compile (s)", "compile_s", lambda row: row.compile_s, ".1f"),
    Column("real-time factor", "real_time_factor", lambda row: row.real_time_factor, ".4f"),
)
STATUS = Column("status", "status", lambda row: row.status)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def shown_columns(rows: Sequence[RowResult]) -> tuple[Column, ...]:
    """Return the columns to show; the status only where a row failed."""
    return (*COLUMNS, STATUS) if any(row.failed for row in rows) else COLUMNS


def rows_terminal(rows: Sequence[RowResult]) -> Table:
    """Return the table for a terminal."""
    return terminal_table(*_texts(rows), failed=[number for number, row in enumerate(rows) if row.failed])


def rows_markdown(rows: Sequence[RowResult], caption: str) -> str:
    """Return the table in markdown, its caption below."""
    return f"{markdown_table(*_texts(rows))}\n\n{caption}\n"


def _texts(rows: Sequence[RowResult]) -> tuple[list[str], list[list[str]]]:
    columns = shown_columns(rows)
    return [column.title for column in columns], [[column.text(row) for column in columns] for row in rows]


def csv_table(rows: Sequence[RowResult]) -> str:
    """Return the table as CSV at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = (*COLUMNS, STATUS)
    writer.writerow([column.csv_name for column in columns])
    writer.writerows([["" if (value := column.value(row)) is None else value for column in columns] for row in rows])
    return text.getvalue()
