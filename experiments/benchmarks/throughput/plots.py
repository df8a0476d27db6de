"""Pictures of the timing: speed against size, and seconds against what is said to be their cause."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.cli.results import Row
from madsep_jax.config.systems import mark_of

_FILLS = {"torch": "none", "torch tuned": "bottom", "torch compiled": "top"}
_LINES = {"jax": "-", "torch": ":", "torch tuned": "--", "torch compiled": "-."}
_MODES = {"forward": "inference", "train": "train step"}

#: Labels of the axes, by the values along them.
_LABELS = {
    "batch": "sequences in a batch",
    "frames": "frames of a sequence",
    "parameters": "parameters",
    "audio_s_per_s": "seconds of audio a second",
    "gflop_per_audio_s": "GFLOP for a second of audio",
    "s_per_audio_s": "seconds for a second of audio",
}


@dataclass(frozen=True)
class Picture:
    """What is drawn against what, with a panel for inference and one for training."""

    x: str
    y: str
    fixed: str | None = None
    """What is the same along a line; None for single points."""
    unit: str = ""
    """Of that."""


_PICTURES = {
    "throughput_against_batch.png": Picture("batch", "audio_s_per_s", "frames", "frames"),
    "throughput_against_length.png": Picture("frames", "audio_s_per_s", "batch", "sequences"),
    "seconds_against_parameters.png": Picture("parameters", "s_per_audio_s"),
    "seconds_against_gflop.png": Picture("gflop_per_audio_s", "s_per_audio_s"),
}


def pictures(rows: Sequence[Row]) -> dict[str, Callable[[], Any]]:
    """Return what draws each picture, by its file; a figure, or None where there is nothing to show."""
    measured = [
        {
            **row,
            "s_per_audio_s": row["median_s"] / row["audio_s"],
            "gflop_per_audio_s": row["flops"] / 1e9 / row["audio_s"],
        }
        for row in rows
        if row["median_s"]
    ]
    return {file: functools.partial(_draw, picture, measured) for file, picture in _PICTURES.items()}


def _draw(picture: Picture, rows: Sequence[Row]) -> Any:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    x, fixed = picture.x, picture.fixed
    if not fixed:  # of the size that comes first; of two sizes, points of one system would not be comparable
        rows = [row for row in rows if (row["batch"], row["frames"]) == (rows[0]["batch"], rows[0]["frames"])]
    modes = [mode for mode in _MODES if any(row["mode"] == mode for row in rows)]
    lines = _lines(picture, rows)
    if not lines:
        return None
    figure = Figure(figsize=(5 * len(modes) + 2.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(modes), squeeze=False)[0]
    sizes = sorted({row[fixed] for row in rows}) if fixed else []
    systems = list(dict.fromkeys(row["system"] for row in rows))
    for axes, mode in zip(panels, modes, strict=True):
        axes.set(xscale="log", yscale="log")
        for label, points in lines.items():
            of_mode = sorted((point for point in points if point["mode"] == mode), key=lambda point: point[x])
            if not of_mode:
                continue
            system, variant = of_mode[0]["system"], of_mode[0]["variant"]
            axes.plot(
                [point[x] for point in of_mode],
                [point[picture.y] for point in of_mode],
                marker=mark_of(system),
                fillstyle=_FILLS.get(variant, "full"),
                linestyle=_LINES.get(variant, _LINES["jax"]) if fixed else "none",
                color=colormaps["tab10"](systems.index(system) % 10),
                linewidth=2 / (1 + sizes.index(of_mode[0][fixed])) if fixed else 1,
                alpha=0.4 if variant == "jax plain" else 1,
                label=label,
            )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(_shown))
            axis.set_minor_formatter(NullFormatter())
        if fixed:
            axes.xaxis.set_major_locator(FixedLocator(sorted({row[x] for row in rows})))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(which="both", labelsize=8)
        size = "" if fixed else f", {rows[0]['batch']} × {rows[0]['frames']} frames"
        axes.set(title=_MODES[mode] + size, xlabel=_LABELS[x])
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel(_LABELS[picture.y])
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return figure


def _shown(value: float, _: object) -> str:
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:.3g}"


def _lines(picture: Picture, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Group the rows that belong together, by their label; where lines are drawn, those of two points or more."""
    fixed, lines = picture.fixed, dict[str, list[Row]]()
    several = {name: len({row[name] for row in rows}) > 1 for name in ("batch", "frames", "precision")}
    for row in rows:
        label = f"{row['system']}, {row['variant']}"
        label += f", {row[fixed]} {picture.unit}" if fixed and several[fixed] else ""
        label += f", {row['precision']}" if several["precision"] else ""
        lines.setdefault(label, []).append(row)
    return {label: of for label, of in lines.items() if not fixed or len({row[picture.x] for row in of}) > 1}
