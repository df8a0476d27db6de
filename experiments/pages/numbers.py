"""The numbers of a page's plots: scores and costs of systems, scores of songs, and the courses of the trainings."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages.couplings import points_of_maps
from experiments.pages.folder import ResultsFolder, Scored, prefix_of
from experiments.pages.listening import mean_by_song, pair_of
from experiments.scoring.aggregate import interval_of

#: What a system's scores are shown against: names in results.json, and the axis.
_MEASURES = {
    "total_parameters": "parameters (masker + denoiser)",
    "masker_parameters": "parameters of the masker",
    "gflop_per_audio_second": "forward GFLOP per second of audio",
    "real_time_factor": "seconds to separate a second of audio",
    "train_step_s": "seconds of a training step",
}

#: Points of a curve that are shown at most; more of them are averaged.
_POINTS = 200


def numbers_of(folders: Sequence[ResultsFolder]) -> dict[str, Any]:
    """Return what the plots show, for JSON."""
    systems, references = list[dict[str, Any]](), list[dict[str, Any]]()
    lines: dict[str, list[dict[str, Any]]] = {}
    for folder in folders:
        prefix = prefix_of(folders, folder)
        for name, seeds in folder.systems.items():
            one = {"name": f"{prefix}{name}", "points": _points(seeds), "about": _about(seeds), "songs": _songs(seeds)}
            (systems if seeds[0].is_trained else references).append(one)
        for what, of_what in _curves(folder).items():
            for line in of_what:
                names = {key: f"{prefix}{line[key]}" for key in ("name", "system")}
                lines.setdefault(what, []).append({**line, **names})
    scored = {name: seeds for name, seeds in folders[0].systems.items() if any(one.songs for one in seeds)}
    first = pair_of(folders[0], [name for name, seeds in scored.items() if seeds[0].is_trained])
    return {
        "systems": systems,
        "references": references,
        "measures": {name: title for name, title in _MEASURES.items() if any(one["about"][name] for one in systems)},
        "curves": lines,
        "differences": [
            {**one, "name": f"{prefix_of(folders, folder)}{one['a']} − {one['b']}"}
            for folder in folders
            for one in folder.content.get("differences", folder.content.get("comparisons", ()))
            if one.get("mean_db", one.get("mean_difference_db")) is not None
        ],
        "maps": points_of_maps(folders),
        "pair": [f"{prefix_of(folders, folders[0])}{name}" for name in first] if first else None,
    }


def _about(seeds: Sequence[Scored]) -> dict[str, float | None]:
    found = {name: [value for one in seeds if (value := one.about.get(name)) is not None] for name in _MEASURES}
    return {name: statistics.median(values) if values else None for name, values in found.items()}


def _points(seeds: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Return by "target metric" the score of each seed, their mean, and its 95 % interval over songs, in dB."""
    found = {}
    for target in dict.fromkeys(target for one in seeds for target in one.targets):
        for metric in ("SDR", "SIR", "SAR", "ISR"):
            of_seeds = [value for one in seeds if (value := one.score_db(metric, target)) is not None]
            if of_seeds:
                mean = sum(of_seeds) / len(of_seeds)
                interval = _interval(seeds, metric, target)
                found[f"{target} {metric}"] = {"seeds": of_seeds, "mean": mean, "interval": interval}
    return found


def _interval(seeds: Sequence[Scored], metric: str, target: str) -> Sequence[float] | None:
    """Return the 95 % interval over songs of a training's score; of several, of the mean of their scores of a song."""
    if len(seeds) == 1:
        return seeds[0].interval_db(metric, target)
    by_song = list(mean_by_song(seeds, metric, target).values())
    return interval_of(np.array(by_song), np.median) if by_song else None


def _songs(seeds: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """Return by "target metric" the score of each song in dB, the mean of the seeds."""
    kinds = dict.fromkeys((target, metric) for one in seeds for target, found in one.songs.items() for metric in found)
    found = {f"{target} {metric}": mean_by_song(seeds, metric, target) for target, metric in kinds}
    return {kind: {song: round(value, 5) for song, value in of_kind.items()} for kind, of_kind in found.items()}


def _curves(folder: ResultsFolder) -> dict[str, list[dict[str, Any]]]:
    """Return what the trainings' logs say, by what it is: of each its name, its system, the how manieth of that, steps
    `x` and values `y`.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for number, one in [pair for seeds in folder.systems.values() for pair in enumerate(seeds)]:
        train = _lines(one.place / "train.jsonl")
        parts = {"training loss": [(line.get("step"), line.get("loss")) for line in train]}
        for line in one.about.get("validation") or []:
            for name, title in (("loss", "validation loss"), ("SDR", "validation SDR (dB)")):
                parts.setdefault(title, []).append((line.get("step"), line.get(name)))
        for title, points in parts.items():
            kept = [(x, y) for x, y in points if x is not None and y is not None]
            if kept:
                line = {"name": one.name, "system": one.system, "number": number, **_thinned(kept)}
                found.setdefault(title, []).append(line)
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a log; none where it is not there."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # of a training that was killed while it wrote
            continue
        found.append(value if isinstance(value, dict) else {})
    return found


def _thinned(points: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """Average stretches of equal length where there are many points."""
    array_P2 = np.array(points, np.float64)
    parts = np.array_split(array_P2, min(_POINTS, len(array_P2)))
    means = [part.mean(0) for part in parts]
    return {"x": [round(float(x), 1) for x, _ in means], "y": [float(f"{y:.5g}") for _, y in means]}
