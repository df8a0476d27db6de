"""One HTML file of everything: tables, the numbers of its plots, sounds, and the programs that draw and play."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.pages.folder import ResultsFolder, Scored, curves, read_folders
from experiments.pages.listening import TRUE, Listening, data_uri, listen, mean_by_song
from experiments.pages.tables import made_with_table, score_tables, settings_table, systems_table
from experiments.scoring.aggregate import interval_of
from experiments.scoring.excerpts import MIXTURE
from madsep_jax.host.files import write_text

#: Its name, beside results.json.
REPORT = "report.html"

#: What sounds and pictures of a page may take, characters; with Plotly (5 MB) and the rest it stays below 20 MB.
_MOST = 13_000_000

_MEASURES = {
    "total_parameters": "parameters (masker + denoiser)",
    "masker_parameters": "parameters of the masker",
    "gflop_per_audio_second": "forward GFLOP per second of audio",
    "real_time_factor": "seconds to separate a second of audio",
    "train_step_s": "seconds of a training step",
}


def write_page(paths: Sequence[Path], file: Path | None = None, most: int = _MOST) -> Path:
    """Write the page of one folder, or of several side by side; returns its path, by default in the first folder.

    Raises InputError where a folder has no results, or they are damaged.
    """
    file = file or paths[0] / REPORT
    write_text(file, render(read_folders(paths), most))
    return file


def render(folders: Sequence[ResultsFolder], most: int = _MOST) -> str:
    """Return the page. Sounds and their pictures have at most so many characters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    templates = Environment(
        loader=PackageLoader("experiments", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {}  # nothing is sorted by its name
    listening = {folder.label: listen(folder, most // len(folders)) for folder in folders}
    tables = [settings_table(folders), systems_table(folders), made_with_table(folders)]
    return templates.get_template("page.html.jinja").render(
        title=", ".join(folder.label for folder in folders),
        folders=folders,
        scores=score_tables(folders),
        more_tables=[table for table in tables if table],
        listening=listening,
        without_sound=[folder.label for folder in folders if folder.scored and not listening[folder.label].players],
        data=_numbers(folders, listening),
        couplings=[
            (f"{_prefix(folders, folder)}{one.title}", data_uri("image/png", one.picture.read_bytes()))
            for folder in folders
            for one in folder.couplings
        ],
        cite=Path(__file__).with_name("cite.bib").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        mixture=MIXTURE,
        true=TRUE,
    )


def _prefix(folders: Sequence[ResultsFolder], folder: ResultsFolder) -> str:
    return f"{folder.label}: " if len(folders) > 1 else ""


def _numbers(folders: Sequence[ResultsFolder], listening: dict[str, Listening]) -> dict[str, Any]:
    """Return what the plots show, for JSON."""
    systems, references, lines = [], [], dict[str, list[dict[str, Any]]]()
    for folder in folders:
        prefix = _prefix(folders, folder)
        for name, seeds in folder.systems.items():
            one = {"name": f"{prefix}{name}", "points": _points(seeds), "about": _about(seeds), "songs": _songs(seeds)}
            (systems if seeds[0].is_trained else references).append(one)
        for what, of_what in curves(folder).items():
            for line in of_what:
                names = {key: f"{prefix}{line[key]}" for key in ("name", "system")}
                lines.setdefault(what, []).append({**line, **names})
    first = listening[folders[0].label].pair
    return {
        "systems": systems,
        "references": references,
        "measures": {name: title for name, title in _MEASURES.items() if any(one["about"][name] for one in systems)},
        "curves": lines,
        "differences": [
            {**one, "name": f"{_prefix(folders, folder)}{one['a']} − {one['b']}"}
            for folder in folders
            for one in folder.content.get("differences", folder.content.get("comparisons", ()))
            if one.get("mean_db", one.get("mean_difference_db")) is not None
        ],
        "pair": [f"{_prefix(folders, folders[0])}{name}" for name in first] if first else None,
    }


def _about(seeds: Sequence[Scored]) -> dict[str, float | None]:
    return {name: _middle([one.about.get(name) for one in seeds]) for name in _MEASURES}


def _middle(values: Sequence[float | None]) -> float | None:
    found = sorted(value for value in values if value is not None)
    return found[len(found) // 2] if found else None


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
    import numpy as np

    by_song = list(mean_by_song(seeds, metric, target).values())
    return interval_of(np.array(by_song), np.median) if by_song else None


def _songs(seeds: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """Return by "target metric" the score of each song in dB, the mean of the seeds."""
    kinds = dict.fromkeys((target, metric) for one in seeds for target, found in one.songs.items() for metric in found)
    found = {f"{target} {metric}": mean_by_song(seeds, metric, target) for target, metric in kinds}
    return {kind: {song: round(value, 5) for song, value in of_kind.items()} for kind, of_kind in found.items()}
