"""What the measurement of scaling writes for its reader."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from experiments.benchmarks.rounds import shown_range
from experiments.benchmarks.scaling.options import Case
from experiments.cli.results import Column, Report, Row, Table
from madsep_jax.host.environment import describe_machine

_CAPTION = (
    "Step: time of a train step, median of the rounds (each the median of its steps) and their range; the cases take "
    "turns, each in new processes. Speed-up: in sequences a second, over one device of one process. Efficiency: "
    "speed-up over devices. Compile: with the first step. Loss: of the first step."
)
_ON_CPU = (
    "The devices are parts of one processor, which one device uses as a whole: more of them can add no speed, and what "
    "a speed-up lacks of 1 is what sharing costs."
)

_COLUMNS = (
    Column("system", lambda row: row["case"]["system"], word=True),
    Column("style", "style", word=True),
    Column("processes", lambda row: row["case"]["processes"]),
    Column("devices", lambda row: row["case"]["devices"]),
    Column("batch", lambda row: row["case"]["batch"]),
    Column("step (ms)", "median_step_s", ".1f", 1e3),
    Column("range (ms)", lambda row: shown_range(row["round_s"], ".1f")),
    Column("speed-up", "speed_up", ".2f"),
    Column("efficiency", "efficiency", ".2f"),
    Column("compile (s)", lambda row: median(row["compile_s"]), ".1f"),
    Column("loss", "loss", ".6g"),
)


def rows_of(found: Mapping[Case, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return a row for each case and style.

    Args:
        found: of each case the rounds, each as `experiments.benchmarks.scaling.measure.measure` returns it.

    Returns:
        Of each round the median step and the compiling; the loss, the same in all cases with the same batch (of later
        steps, rounding would be magnified); the median of the rounds; `speed_up`, of the sequences a second over those
        of one device in the same style, None where one device was not measured alone; `efficiency`, how much of one
        device's speed each device keeps.
    """
    rows: list[dict[str, Any]] = []
    for style in next(iter(found)).styles:
        for case, rounds in found.items():
            styles = [one["styles"][style] for one in rounds]
            row = {
                "case": asdict(case),
                "style": style,
                "round_s": [median(one["step_s"]) for one in styles],
                "compile_s": [one["compile_s"] for one in styles],
                "loss": styles[-1]["loss"],
            }
            rows.append({**row, "median_step_s": median(row["round_s"])})
    alone = {row["style"]: row for row in rows if (row["case"]["devices"], row["case"]["processes"]) == (1, 1)}
    for row in rows:
        one = alone.get(row["style"])
        row["speed_up"] = _sequences_per_s(row) / _sequences_per_s(one) if one else None
        row["efficiency"] = row["speed_up"] / row["case"]["devices"] if one else None
    return rows


def _sequences_per_s(row: Row) -> float:
    return row["case"]["batch"] / row["median_step_s"]


def make_report(found: Mapping[Case, Sequence[Mapping[str, Any]]], settings: Mapping[str, Any]) -> Report:
    """Return scaling.json, table.md and the plot; see `rows_of`."""
    rows, environment = rows_of(found), next(iter(found.values()))[0]["environment"]
    on_cpu = settings["on"] == "cpu"
    caption = f"{describe_machine(environment)}. {_CAPTION}{f' {_ON_CPU}' if on_cpu else ''}"
    content = {"environment": environment, "settings": settings, "cases": rows}
    return Report(
        "scaling", content, [Table(_COLUMNS, rows, caption)], pictures={"scaling.png": partial(_draw, rows, on_cpu)}
    )


def _draw(rows: Sequence[Row], on_cpu: bool) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    times, shares = figure.subplots(1, 2)
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(f"{row['style']}, processes: {row['case']['processes']}", []).append(row)
    for name, of_line in lines.items():
        times.plot(_devices(of_line), [1e3 * row["median_step_s"] for row in of_line], "o-", label=name)
        known = [row for row in of_line if row["efficiency"] is not None]
        shares.plot(_devices(known), [row["efficiency"] for row in known], "o-", label=name)
    if on_cpu:
        counts = sorted(set(_devices(rows)))
        shares.plot(counts, [1 / count for count in counts], ":", color="grey", label="sharing that costs nothing")
    for axes, label in ((times, "step (ms)"), (shares, "efficiency")):
        axes.set(xlabel="devices", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    return figure


def _devices(rows: Sequence[Row]) -> list[int]:
    return [row["case"]["devices"] for row in rows]
