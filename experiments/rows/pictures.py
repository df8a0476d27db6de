"""What the systems score against what they cost: a point a system, its seeds as faint dots, and its name beside it."""

import functools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.rows.row import RowResult
from madsep_jax.config.systems import mark_of

#: A colour for each shape, and so for each family of systems, which the colour-blind tell apart: Okabe and Ito, "Color
#: Universal Design", 2008.
_COLOURS = {"o": "#0072B2", "s": "#D55E00", "^": "#009E73", "D": "#CC79A7", "v": "#E69F00"}
_OTHER = "#555555"

#: Field of a `RowResult` and what the axis says of it, by the file's name.
_COSTS = {
    "sdr_against_parameters.png": ("total_parameters", "parameters (masker + denoiser)"),
    "sdr_against_gflop.png": ("gflop_per_audio_second", "GFLOP for a second of audio (forward)"),
    "sdr_against_real_time_factor.png": ("real_time_factor", "seconds for a second of audio (real-time factor)"),
}

#: Axes show at least a factor of so much, and so many dB.
_LEAST_FACTOR, _LEAST_DB = 4.0, 0.5

#: Half the size of a system's point and of a seed's dot, how far a dot is to the left, so that the bar does not hide
#: it, and how far names may be from their points; in pt.
_POINT, _DOT, _BESIDE = 4.5, 2.5, 6.0
_DISTANCES = (7.0, 10.0, 14.0, 19.0, 25.0, 32.0, 42.0, 55.0, 72.0, 95.0, 125.0)

#: From this distance on a line leads from a name to its point.
_LED = 12.0


def colour_of(system: str) -> str:
    """Return the colour of a system's family, also of a system that is not known (any more)."""
    return _COLOURS.get(mark_of(system), _OTHER)


def quality_pictures(results: Sequence[RowResult]) -> dict[str, Callable[[], Any]]:
    """Return what draws voice SDR against parameters, GFLOP and the real-time factor, by the files' names.

    The axes are those of the systems: rows without a model are notes at the edge, or lines where they lie between.
    There are no pictures where no model has scores yet.
    """
    scored = [row for row in results if row.median_db("SDR") is not None]
    models = [row for row in scored if row.total_parameters]
    references = {row.system: float(row.median_db("SDR") or 0) for row in scored if not row.total_parameters}
    if not models:
        return {}
    return {name: functools.partial(_draw, models, references, field, label) for name, (field, label) in _COSTS.items()}


@dataclass(frozen=True)
class _Point:
    """A system, and its seeds."""

    system: str
    x: list[float]
    y: list[float]

    @property
    def middle(self) -> tuple[float, float]:
        return statistics.median(self.x), statistics.fmean(self.y)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds, as in the table."""
        return statistics.stdev(self.y) if len(self.y) > 1 else 0.0

    @property
    def dots(self) -> list[tuple[float, float]]:
        """Where the seeds are, where there are several."""
        return [(self.middle[0], y) for y in self.y] if len(self.y) > 1 else []


def _points(models: Sequence[RowResult], field: str) -> list[_Point]:
    points: dict[str, _Point] = {}
    for row in models:
        x, y = getattr(row, field), row.median_db("SDR")
        if x and y is not None and math.isfinite(y):
            point = points.setdefault(row.system, _Point(row.system, [], []))
            point.x.append(x)
            point.y.append(y)
    return list(points.values())


def _draw(models: Sequence[RowResult], references: dict[str, float], field: str, label: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import ScaledTranslation

    points = _points(models, field)
    if not points:
        return None
    figure = Figure(figsize=(7.5, 4.5 + 0.08 * max(0, len(points) - 12)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _set_axes(axes, points, label)
    for point in points:
        colour = colour_of(point.system)
        if point.dots:
            beside = axes.transData + ScaledTranslation(-_BESIDE / 72, 0, figure.dpi_scale_trans)
            dots: dict[str, Any] = {"markersize": 2 * _DOT, "alpha": 0.4, "markeredgewidth": 0, "transform": beside}
            axes.plot(*zip(*point.dots, strict=True), "o", color=colour, **dots)
            axes.errorbar(*point.middle, yerr=point.spread, color=colour, capsize=3, linewidth=1.5)
        look: dict[str, Any] = {
            "marker": mark_of(point.system),
            "s": (2 * _POINT) ** 2,
            "edgecolors": "white",
            "zorder": 3,
        }
        axes.scatter(*point.middle, color=colour, label=point.system, **look)
    notes = _note_references(axes, references)
    figure.draw_without_rendering()  # which lays it out
    _name_points(axes, points, [note.get_window_extent() for note in notes])
    return figure


def _set_axes(axes: Any, points: Sequence[_Point], label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    x = np.log([x for point in points for x in point.x])
    margin = 0.12 * np.ptp(x) + max(0.0, np.log(_LEAST_FACTOR) - np.ptp(x)) / 2
    axes.set(xscale="log", xlim=np.exp([x.min() - margin, x.max() + margin]), xlabel=label)
    edges = [edge for point in points for edge in (point.middle[1] - point.spread, point.middle[1] + point.spread)]
    y = np.array([*edges, *(y for point in points for y in point.y)])
    margin = 0.15 * np.ptp(y) + max(0.0, _LEAST_DB - np.ptp(y)) / 2
    axes.set_ylim(y.min() - margin, y.max() + margin)
    counts = sorted({len(point.y) for point in points})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds"
    spread = f", mean ± standard deviation over {seeds}" if counts[-1] > 1 else ""
    axes.set_title(f"Voice SDR (dB){spread}", loc="left", fontsize=11)
    decades = np.ptp(x) / np.log(10)
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3 else (1,))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(_shown))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.label.set_size(11)
    axes.tick_params(labelsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _shown(x: float, _: object) -> str:
    if x < 1e4:
        return f"{x:g}"
    return f"{x / 1e3:g} k" if x < 1e6 else f"{x / 1e6:g} M"


def _note_references(axes: Any, references: dict[str, float]) -> list[Any]:
    """Write what rows without a model score: beyond the axes at that edge; returns the texts."""
    low, high = axes.get_ylim()
    style = {"color": "#555555", "fontsize": 10, "ha": "right", "transform": axes.get_yaxis_transform()}
    texts = {system: f"{system} {db:.2f}".replace("-", "\N{MINUS SIGN}") for system, db in references.items()}
    above = [f"↑ {texts[system]}" for system, db in references.items() if db > high]
    below = [f"↓ {texts[system]}" for system, db in references.items() if db < low]
    notes = [axes.text(0.995, high, "   ".join(above), va="top", **style)] if above else []
    notes += [axes.text(0.995, low, f"{'   '.join(below)}\n", va="center", **style)] if below else []
    for system, db in references.items():
        if low <= db <= high:
            axes.axhline(db, color="#555555", linestyle=":", linewidth=1)
            notes.append(axes.text(0.995, db, texts[system], va="bottom", **style))
    return notes


def _name_points(axes: Any, points: Sequence[_Point], taken: Sequence[Any]) -> None:
    """Write each system's name next to its point, where it covers nothing, or the least; crowded ones first."""
    scale = axes.figure.dpi / 72
    middles = axes.transData.transform([point.middle for point in points])
    boxes = [np.asarray(box.extents) for box in taken]
    for point, (x, y) in zip(points, middles, strict=True):
        dots = [axes.transData.transform(dot) - [_BESIDE * scale, 0] for dot in point.dots]
        boxes += [_box(x, y, _POINT * scale), *(_box(dot[0], dot[1], _DOT * scale) for dot in dots)]
        bar = axes.transData.transform([[point.middle[0], point.middle[1] + sign * point.spread] for sign in (-1, 1)])
        boxes.append(np.array([x - 2, bar[0, 1], x + 2, bar[1, 1]]))
    crowd = [np.sum(np.hypot(*(middles - middle).T) < 60 * scale) for middle in middles]
    frame = np.asarray(axes.get_window_extent().extents)
    for number in np.argsort(crowd, kind="stable")[::-1]:
        text = axes.annotate(
            points[number].system,
            points[number].middle,
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=10,
            color="#222222",
            in_layout=False,
        )
        extent = text.get_window_extent()
        box, distance = _best_place(middles[number], extent.width, extent.height, scale, np.array(boxes), frame)
        text.set_position((box[:2] - middles[number]) / scale)
        text.set_va("bottom")
        boxes.append(box)
        if distance >= _LED:
            end = np.clip(middles[number], box[:2] - 2, box[2:] + 2)
            line = np.stack([middles[number], end])
            axes.plot(*axes.transData.inverted().transform(line).T, color="#999999", linewidth=0.7, zorder=1)


def _box(x: float, y: float, half: float) -> np.ndarray:
    return np.array([x - half, y - half, x + half, y + half])


def _best_place(
    middle: np.ndarray, width: float, height: float, scale: float, taken: np.ndarray, frame: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the box of a name of this size, in pixels, and its distance from the point in pt.

    Of places all around the point, it is that which covers the least of the boxes that are taken and of what is outside
    the frame, by itself and by the line that leads to it; and of these the nearest.
    """
    best, best_cost = (np.zeros(4), 0.0), math.inf
    for distance in _DISTANCES:
        for angle in np.radians([0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 340, 200, 65, 115, 295, 245]):
            direction = np.array([np.cos(angle), np.sin(angle)])
            near = middle + distance * scale * direction
            corner = near - np.array([width, height]) * (1 - np.sign(direction.round(6))) / 2
            box = np.concatenate([corner, corner + np.array([width, height])])
            covered = _overlaps(box + np.array([-2, -1, 2, 1]), taken)
            outside = width * height - _overlaps(box, frame[None])[0]
            cost = 20 * (covered.sum() + outside) / (width * height) + np.sum(covered > 0) + distance / 100
            if distance >= _LED:
                line = middle + (near - middle) * np.linspace(0.3, 1, 8)[:, None]
                crossed = ((line[:, None] > taken[:, :2]) & (line[:, None] < taken[:, 2:])).all(-1).any(0)
                cost += 0.5 * crossed.sum()
            if cost < best_cost:
                best, best_cost = (box, distance), cost
    return best


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the areas that a box shares with others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return np.prod(np.maximum(sides, 0), axis=1)
