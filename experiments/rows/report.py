"""Everything that an experiment writes for its reader, rewritten after each row: tables, pictures, JSON."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from experiments.cli.console import say
from experiments.cli.results import Column, Report, Row, Table
from experiments.pages.page import write_page
from experiments.rows.answer import UNIT, answer
from experiments.rows.folder import ExperimentFolder
from experiments.rows.identity import LENGTH
from experiments.rows.pictures import quality_pictures
from experiments.rows.plan import Plan
from experiments.rows.row import DONE, RowResult
from experiments.scoring.protocols import PROTOCOLS
from madsep_jax.config.io import to_dict
from madsep_jax.config.signal import SeparationConfig, SignalConfig
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


def update_report(plan: Plan, folder: ExperimentFolder, *, with_page: bool = False) -> list[RowResult]:
    """Write results.json, results.csv, table.md and the pictures of all rows that are finished by now; returns these.

    The last process to finish a row writes last, so that none is missing in the end. At the end of a command there is
    also report.html (`with_page`), which is large.
    """
    with lock(plan.out / ".report.lock"):
        results = folder.results(plan.rows)
        if results:
            _report(plan, results).write(plan.out)
            if with_page:
                write_page([plan.out])
    return results


def _report(plan: Plan, results: Sequence[RowResult]) -> Report:
    text, systems, found = caption(plan, results), system_table(results), answer(results, plan.out, plan.baseline)
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
    tables = [table for table in (systems, row_table(results, text), found.table(UNIT)) if table]
    return Report("results", content, tables, {"results.csv": csv_table(results)}, quality_pictures(results))


def show(console: Console, plan: Plan, results: Sequence[RowResult]) -> None:
    """Print the table, of several seeds that of the systems, which rows have failed, and what a reader must know."""
    table = system_table(results, spread=["voice_sdr_db"]) or row_table(results)
    failed = [number for number, row in enumerate(table.rows) if row["status"] != DONE]
    console.print(table.terminal(plan.out / "table.md", failed))
    for row in results:
        if row.failed:
            say(console, f"{row.system}, seed {row.seed}: {row.status}")
    say(console, "\n".join(["", *answer(results, plan.out, plan.baseline).shown]))
    console.print(f"\n{caption(plan, results)}", markup=False)


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


def _db(metric: str, target: str = "vocals") -> Callable[[Row], float | None]:
    """Return what gives the median of a row, the fields of a `RowResult`."""
    return lambda row: RowResult(**row).median_db(metric, target)


#: By their names in results.csv. Of a ratio that only rounding keeps from infinity the digits are not shown.
COLUMNS = {
    "system": Column("system", "system", word=True),
    "seed": Column("seed", "seed", rank=6),
    "voice_sdr_db": Column("SDR (dB)", _db("SDR"), ".2f", most=100, rank=0),
    "voice_sir_db": Column("SIR (dB)", _db("SIR"), ".2f", most=100, rank=0),
    "voice_sar_db": Column("SAR (dB)", _db("SAR"), ".2f", most=100, rank=0),
    "voice_isr_db": Column("ISR (dB)", _db("ISR"), ".2f", most=100, rank=4),
    "accompaniment_sdr_db": Column("accomp. SDR (dB)", _db("SDR", "accompaniment"), ".2f", most=100, rank=5),
    "masker_parameters": Column("masker params", "masker_parameters", ",d", rank=0),
    "total_parameters": Column("total params", "total_parameters", ",d", rank=3),
    "gflop_per_audio_second": Column("GFLOP / s audio", "gflop_per_audio_second", ".2f", rank=1),
    "train_step_ms": Column("train step (ms)", "train_step_s", ".1f", factor=1000, rank=0),
    "compile_s": Column("compile (s)", "compile_s", ".1f", rank=7),
    "real_time_factor": Column("real-time factor", "real_time_factor", ".4f", rank=2),
    "status": Column("status", "status", rank=9, sentence=True),
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


#: What a system has of all its seeds, in the order of the table.
_OF_SYSTEM = {name: column for name, column in COLUMNS.items() if name not in ("system", "seed", "status")}
_SCORES = tuple(name for name in _OF_SYSTEM if name.endswith("_db"))


def system_table(results: Sequence[RowResult], spread: Sequence[str] = _SCORES) -> Table | None:
    """Return a table with a row a system, of its seeds together; None where no system has scores of two seeds or more.

    Scores are means over the seeds, those in `spread` with their standard deviation; times are medians.
    """
    by_system: dict[str, list[RowResult]] = {}
    for result in results:
        by_system.setdefault(result.system, []).append(result)
    rows = [_of_seeds(system, seeds, spread) for system, seeds in by_system.items()]
    if not any((row["seeds"] or 0) > 1 for row in rows):
        return None
    columns = [
        COLUMNS["system"],
        Column("seeds", "seeds", rank=1),
        *(
            Column(column.title, name, rank=column.rank) if name in _SCORES else replace(column, value=name, factor=1)
            for name, column in _OF_SYSTEM.items()
        ),
        Column("training (s)", "train_s", ".0f", rank=8),
    ]
    return Table(columns, rows, lead="Mean ± standard deviation (n - 1) over the seeds; times: median.")


def _of_seeds(system: str, seeds: Sequence[RowResult], spread: Sequence[str]) -> Row:
    scored = [seed for seed in seeds if seed.scores]
    row: dict[str, Any] = {
        "system": system,
        "status": next((seed.status for seed in seeds if seed.failed), DONE),
        "seeds": None if seeds[0].seed is None else len(scored),
        "train_s": sum(seed.train_s or 0 for seed in scored) or None,
    }
    for name, column in _OF_SYSTEM.items():
        found = [value for seed in seeds if (value := column.found(vars(seed))) is not None]
        if name in _SCORES:
            row[name] = _mean(column, found, with_spread=name in spread) if found else None
        else:
            row[name] = (found[0] if len(set(found)) == 1 else statistics.median(found)) if found else None
    return row


def _mean(column: Column, values: Sequence[float], *, with_spread: bool) -> str:
    text = replace(column, value="mean").cell({"mean": statistics.fmean(values)})
    several = with_spread and len(values) > 1 and not text.startswith(">")
    return f"{text} ± {statistics.stdev(values):.2f}" if several else text
