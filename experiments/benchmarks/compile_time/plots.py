"""Pictures of compile time: against depth, and against sequence length."""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.cli.results import Row

_MARKERS = ("o", "s", "^", "D", "v", "X")


def draw_depth(rows: Sequence[Row]) -> Any:
    """Return the seconds to compile against L_enc, blocks scanned and unrolled, as a figure."""
    return _draw(rows, lambda row: f"blocks {row['blocks']}", "layers", "L_enc", "train step, DWS-CNN")


def draw_lengths(rows: Sequence[Row]) -> Any:
    """Return the seconds to compile against the sequence length, a line for each system, as a figure."""
    return _draw(rows, lambda row: row["system"], "frames", "frames of a sequence", "train step")


def _draw(all_rows: Sequence[Row], line_of: Callable[[Row], str], field: str, label: str, title: str) -> Any:
    """Draw all stages together as lines with their quartiles, and below them, dotted, what is Python's part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(dict.fromkeys(map(line_of, all_rows))):
        rows = sorted((row for row in all_rows if line_of(row) == name), key=lambda row: row[field])
        x = [row[field] for row in rows]
        colour, marker = f"C{number}", _MARKERS[number % len(_MARKERS)]
        total = [row["total_s"]["median"] for row in rows]
        python = [row["trace_s"]["median"] + row["lower_s"]["median"] for row in rows]
        axes.plot(x, total, color=colour, marker=marker, label=name)
        axes.fill_between(
            x,
            [row["total_s"]["first_quartile"] for row in rows],
            [row["total_s"]["third_quartile"] for row in rows],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(x, python, color=colour, marker=marker, markersize=3, linestyle=":", label=f"{name}: trace and lower")
    axes.set_xticks(sorted({row[field] for row in all_rows}))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("trace, lower and compile (s)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure
