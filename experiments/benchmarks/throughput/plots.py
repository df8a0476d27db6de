"""Pictures of the timing: speed against size, and seconds against what is said to be their cause."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.throughput.result import VariantResult
from experiments.cli.tables import save_figure
from madsep_jax.config.systems import mark_of

Value = Callable[[VariantResult], float | None]

_FILLS = {"torch": "none", "torch tuned": "bottom"}

_LINES = {"jax": "-", "torch": ":", "torch tuned": "--"}

_MODES = {"forward": "inference", "train": "train step"}


@dataclass(frozen=True)
class Picture:
    """One file, with a panel for inference and one for training."""

    file: str
    x: Value
    x_label: str
    y: Value
    y_label: str
    fixed: Value | None
    """What is the same along a line; None for single points."""


PICTURES = (
    Picture(
        "throughput_against_batch.png",
        lambda r: r.batch,
        "sequences in a batch",
        lambda r: r.audio_s_per_s,
        "seconds of audio a second",
        lambda r: r.frames,
    ),
    Picture(
        "throughput_against_length.png",
        lambda r: r.frames,
        "frames of a sequence",
        lambda r: r.audio_s_per_s,
        "seconds of audio a second",
        lambda r: r.batch,
    ),
    Picture(
        "seconds_against_parameters.png",
        lambda r: r.parameters,
        "parameters",
        lambda r: _per_audio(r, r.median_s),
        "seconds for a second of audio",
        None,
    ),
    Picture(
        "seconds_against_gflop.png",
        lambda r: _per_audio(r, r.flops / 1e9),
        "GFLOP for a second of audio",
        lambda r: _per_audio(r, r.median_s),
        "seconds for a second of audio",
        None,
    ),
)


def plot_all(results: Sequence[VariantResult], folder: Path) -> list[Path]:
    """Draw every picture that has something to show; returns the files written."""
    measured = [result for result in results if result.median_s]
    if not measured:
        return []
    return [path for picture in PICTURES if (path := _draw(picture, measured, folder)) is not None]


def _draw(picture: Picture, results: Sequence[VariantResult], folder: Path) -> Path | None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    if not picture.fixed:
        results = _of_one_size(results)
    modes = [mode for mode in _MODES if any(result.mode == mode for result in results)]
    lines = _lines(picture, results)
    if not lines:
        return None
    figure = Figure(figsize=(5 * len(modes) + 2.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(modes), squeeze=False)[0]
    sizes = sorted({picture.fixed(result) for result in results}, key=lambda size: size or 0) if picture.fixed else []
    systems = list(dict.fromkeys(result.system for result in results))
    for axes, mode in zip(panels, modes, strict=True):
        for label, points in lines.items():
            of_mode = sorted((p for p in points if p.mode == mode), key=lambda p: picture.x(p) or 0)
            if not of_mode:
                continue
            first = of_mode[0]
            axes.plot(
                [picture.x(p) for p in of_mode],
                [picture.y(p) for p in of_mode],
                marker=mark_of(first.system),
                fillstyle=_FILLS.get(first.variant, "full"),
                linestyle=_LINES.get(first.variant, _LINES["jax"]) if picture.fixed else "none",
                color=colormaps["tab10"](systems.index(first.system) % 10),
                linewidth=2 / (1 + sizes.index(picture.fixed(first))) if picture.fixed else 1,
                alpha=0.4 if first.variant == "jax plain" else 1,
                label=label,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(_shown))
            axis.set_minor_formatter(NullFormatter())
        if picture.fixed:
            axes.xaxis.set_major_locator(FixedLocator(sorted({picture.x(result) or 0 for result in results})))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(which="both", labelsize=8)
        axes.set_title(
            _MODES[mode] if picture.fixed else f"{_MODES[mode]}, {results[0].batch} × {results[0].frames} frames"
        )
        axes.set_xlabel(picture.x_label)
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel(picture.y_label)
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return save_figure(figure, folder / picture.file)


def _shown(value: float, _: object) -> str:
    return f"{value / 1e6:g} M" if value >= 1e5 else f"{value:.3g}"


def _lines(picture: Picture, results: Sequence[VariantResult]) -> dict[str, list[VariantResult]]:
    """Group the results that belong together, by their label; where lines are drawn, those of two points or more."""
    lines: dict[str, list[VariantResult]] = {}
    sizes = {picture.fixed(result) for result in results} if picture.fixed else set()
    precisions = {result.precision for result in results}
    for result in results:
        label = f"{result.system}, {result.variant}"
        if picture.fixed and len(sizes) > 1:
            name = "frames" if picture.file.endswith("batch.png") else "sequences"
            label += f", {picture.fixed(result):.0f} {name}"
        if len(precisions) > 1:
            label += f", {result.precision}"
        lines.setdefault(label, []).append(result)
    if not picture.fixed:
        return lines
    return {label: points for label, points in lines.items() if len({picture.x(point) for point in points}) > 1}


def _of_one_size(results: Sequence[VariantResult]) -> list[VariantResult]:
    """Return the results of the size that comes first; of two sizes, points of one system would not be comparable."""
    return [result for result in results if (result.batch, result.frames) == (results[0].batch, results[0].frames)]


def _per_audio(result: VariantResult, value: float | None) -> float | None:
    return None if value is None else value / result.audio_s
