"""Pictures of the comparison: quality against what it costs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.rows import RowResult

#: Shape and colour of a system's point, by the first word of its name.
_MARKERS = {"mad": ("o", "C0"), "dws": ("s", "C1"), "dilated": ("^", "C2"), "dae": ("D", "C3"), "skip": ("v", "C4")}
_OTHER_MARKER = ("X", "C5")


def plot_quality(rows: Sequence[RowResult], folder: Path) -> list[Path]:
    """Draw voice SDR against parameters and against GFLOP per second of audio; returns the files written.

    The rows without a model are horizontal lines. Nothing is drawn where no model has scores yet.
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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for row in models:
        marker, colour = _MARKERS.get(row.system.partition("-")[0], _OTHER_MARKER)
        axes.scatter(value(row), sdr(row), marker=marker, color=colour, s=50)
        axes.annotate(row.system, (value(row), sdr(row)), textcoords="offset points", xytext=(7, 5), fontsize=9)
    for row in references:
        axes.axhline(sdr(row), color="grey", linestyle=":", linewidth=1)
        axes.text(0.01, sdr(row), row.system, transform=axes.get_yaxis_transform(), color="grey", va="bottom")
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_xlabel(label)
    axes.set_ylabel("voice SDR (dB), median")
    axes.grid(alpha=0.3)
    aside = path.with_name(f".{path.stem}.partial.png")
    figure.savefig(aside, dpi=150)
    aside.replace(path)
    return path


def sdr(row: RowResult) -> Any:
    """Return the height of a row in the pictures."""
    return row.median_db("SDR")
