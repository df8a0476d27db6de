"""Pictures of the comparison: quality against what it costs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.cli.tables import save_figure
from experiments.rows.row import RowResult
from madsep_jax.config.systems import mark_of


def plot_quality(rows: Sequence[RowResult], folder: Path) -> list[Path]:
    """Draw voice SDR against parameters and against GFLOP per second of audio; returns the files written.

    Each system has a colour of its own. The rows without a model are horizontal lines. Nothing is drawn where no model
    has scores yet.
    """
    scored = [row for row in rows if row.median_db("SDR") is not None]
    models = [row for row in scored if row.total_parameters]
    if not models:
        return []
    pictures: list[tuple[str, str, Callable[[RowResult], Any]]] = [
        ("sdr_against_parameters", "parameters (masker + denoiser)", lambda row: row.total_parameters),
        ("sdr_against_gflop", "forward GFLOP per second of audio", lambda row: row.gflop_per_audio_second),
    ]
    references = [row for row in scored if not row.total_parameters]
    return [_draw(models, references, folder / f"{name}.png", label, value) for name, label, value in pictures]


def _draw(
    models: Sequence[RowResult],
    references: Sequence[RowResult],
    path: Path,
    label: str,
    value: Callable[[RowResult], Any],
) -> Path:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, system in enumerate(dict.fromkeys(row.system for row in models)):
        seeds = [row for row in models if row.system == system]
        x, y = [value(row) for row in seeds], [sdr(row) for row in seeds]
        axes.scatter(x, y, marker=mark_of(system), color=colormaps["tab20"](number % 20), s=55, label=system)
    for row in references:
        axes.axhline(sdr(row), color="grey", linestyle=":", linewidth=1)
        axes.text(0.01, sdr(row), row.system, transform=axes.get_yaxis_transform(), color="grey", va="bottom")
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
    return save_figure(figure, path)


def sdr(row: RowResult) -> Any:
    """Return the height of a row in the pictures."""
    return row.median_db("SDR")
