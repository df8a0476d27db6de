"""Pictures of compile time: against depth, and against sequence length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.cli.tables import save_figure

Row = dict[str, Any]

_MARKERS = ("o", "s", "^", "D", "v", "X")


def plot_depth(rows: Sequence[Row], path: Path) -> None:
    """Draw the seconds to compile against L_enc, blocks scanned and unrolled."""
    series = {
        f"blocks {blocks}": [row for row in rows if row["blocks"] == blocks]
        for blocks in dict.fromkeys(row["blocks"] for row in rows)
    }
    _draw(series, "layers", "L_enc", "train step, DWS-CNN", path)


def plot_lengths(rows: Sequence[Row], path: Path) -> None:
    """Draw the seconds to compile against the sequence length, a line for each system."""
    series = {
        system: [row for row in rows if row["system"] == system]
        for system in dict.fromkeys(row["system"] for row in rows)
    }
    _draw(series, "frames", "frames of a sequence", "train step", path)


def _draw(series: dict[str, list[Row]], field: str, label: str, title: str, path: Path) -> None:
    """Draw all stages together as lines with their quartiles, and below them, dotted, what is Python's part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, rows) in enumerate(series.items()):
        rows = sorted(rows, key=lambda row: row[field])
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
    axes.set_xticks(sorted({row[field] for rows in series.values() for row in rows}))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("trace, lower and compile (s)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
