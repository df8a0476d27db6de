"""What the folder of an ablation or an evaluation holds, as a page shows it. Old folders have less of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli.results import read_earlier
from experiments.scoring import song_scores
from experiments.scoring.aggregate import song_score
from experiments.scoring.protocols import METRICS, PROTOCOLS
from madsep_jax.errors import InputError, shown
from madsep_jax.host.environment import describe_machine

RESULTS, COUPLINGS = "results.json", "couplings.json"
VOICE = "vocals"

#: How deep beneath a folder couplings are looked for.
_COUPLINGS = (COUPLINGS, *(f"{'*/' * depth}{COUPLINGS}" for depth in (1, 2, 3)))

#: Scores in dB by target, metric and song.
SongScores = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Scored:
    """One training of a system, or a system that was only scored."""

    system: str
    seed: int | None
    about: Mapping[str, Any]
    """Of results.json: its row, or the scores of the system."""
    place: Path
    """Its folder."""
    songs: SongScores = field(default_factory=dict)
    """Empty where the folder has no scores by song."""

    @property
    def name(self) -> str:
        """System and seed."""
        return self.system if self.seed is None else f"{self.system}, seed {self.seed}"

    @property
    def is_trained(self) -> bool:
        """Whether it is a system, and not what gives the scale."""
        return "targets" in self.about or bool(self.about.get("config") or self.about.get("total_parameters"))

    @property
    def targets(self) -> Mapping[str, Any]:
        """Return the scores of all songs together, by target."""
        scores = self.about if "targets" in self.about else self.about.get("scores") or {}
        return scores.get("targets", {})

    def score_db(self, metric: str, target: str = VOICE) -> float | None:
        """Return the score of all songs; None where there is none."""
        found = self.targets.get(target, {})
        return (found.get("score_db") or found.get("median_db") or {}).get(metric)

    def interval_db(self, metric: str, target: str = VOICE) -> Sequence[float] | None:
        """Return its 95 % interval over songs; None where there is none."""
        found = self.targets.get(target, {}).get("interval_db", {}).get(metric)
        return None if found is None or None in found else found


@dataclass(frozen=True)
class Couplings:
    """A picture of neural couplings."""

    title: str
    picture: Path
    says: str
    """How diagonal they are."""


@dataclass(frozen=True)
class ResultsFolder:
    """All that is shown of one folder."""

    path: Path
    label: str
    """Its name among those that are shown together."""
    content: Mapping[str, Any]
    """Of results.json."""
    scored: list[Scored]
    couplings: list[Couplings]
    maps: list[dict[str, Any]]
    """Of each comparison of couplings its couplings.json."""

    @property
    def is_ablation(self) -> bool:
        """Whether its systems were trained here, and not only scored."""
        return "rows" in self.content

    @property
    def answer(self) -> list[str]:
        """Return the sentences that say what was found."""
        return self.content.get("answer") or []

    @property
    def caption(self) -> str:
        """Return what a reader must know to read the scores."""
        return self.content.get("caption") or ""

    @property
    def systems(self) -> dict[str, list[Scored]]:
        """Return the trainings by system."""
        found: dict[str, list[Scored]] = {}
        for one in self.scored:
            found.setdefault(one.system, []).append(one)
        return found

    @property
    def targets(self) -> list[str]:
        """Return the sources that are scored."""
        return list(dict.fromkeys(target for one in self.scored for target in one.targets))

    @property
    def metrics(self) -> list[str]:
        """Return the metrics that there are scores of."""
        return [m for m in METRICS if any(one.score_db(m, t) is not None for one in self.scored for t in one.targets)]

    def title(self, metric: str) -> str:
        """Return a metric's name."""
        protocol = PROTOCOLS.get(self.content.get("protocol", ""))
        return protocol.title(metric) if protocol else metric

    @property
    def true_excerpts(self) -> Path:
        """Where the excerpts of the songs and their true sources are."""
        return self.path / "excerpts"

    def machines(self) -> list[str]:
        """Return the machines of its rows, in words."""
        all_rows = [self.content, *(one.about for one in self.scored)]
        found = (row.get("environment") for row in all_rows)
        return list(dict.fromkeys(describe_machine(one) for one in found if one))


def read_folders(paths: Sequence[Path]) -> list[ResultsFolder]:
    """Read folders, each under a label of its own.

    Raises InputError where one has nothing to show, or is damaged.
    """
    labels = _labels(paths)
    return [_read(path, label) for path, label in zip(paths, labels, strict=True)]


def _labels(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of the paths, as many as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise InputError(f"{', '.join(map(shown, paths))}: found a folder twice, expected each once")
    for count in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(one[-count:]) for one in parts]
        if len(set(labels)) == len(labels):
            break
    return labels


def _read(path: Path, label: str) -> ResultsFolder:
    about = {found: _about(found) for pattern in _COUPLINGS for found in sorted(path.glob(pattern))}
    maps = [content for content in about.values() if "maps" in content]
    places = {line["name"]: number for one in maps for number, line in enumerate(one["maps"])}
    in_order = sorted(about.items(), key=lambda found: places.get(found[1].get("name", ""), -1))
    couplings = [_couplings(found, content) for found, content in in_order]
    content = read_earlier(path / RESULTS, _checked, "expected what the ablation or the evaluation wrote")
    if content is None and not about:
        raise InputError(f"{shown(path)}: found no {RESULTS}, expected a folder of the ablation or the evaluation")
    content = content or {}
    try:
        scored = _of_ablation(path, content) if "rows" in content else _of_evaluation(path, content)
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{shown(path / RESULTS)}: is damaged, or of another version") from None
    return ResultsFolder(path, label, content, scored, [one for one in couplings if one], maps)


def _checked(content: Any) -> dict[str, Any]:
    """Return what results.json holds. Raises KeyError or TypeError where it is not of these commands."""
    if "rows" not in content:
        content["systems"]
    return content


def _of_ablation(path: Path, content: Mapping[str, Any]) -> list[Scored]:
    found = []
    for row in content["rows"]:
        system, seed = row["system"], row.get("seed")
        name = system.replace(" ", "-") + ("" if seed is None else f"-seed{seed}")
        place = _beneath(path / "rows", name)
        found.append(Scored(system, seed, row, place, _song_scores(place / "scores")))
    return found


def _of_evaluation(path: Path, content: Mapping[str, Any]) -> list[Scored]:
    systems: Mapping[str, Any] = content.get("systems", {})
    places = {system: _beneath(path / "scores", system) for system in systems}
    return [
        Scored(system, None, about, places[system], _song_scores(places[system] / "test"))
        for system, about in systems.items()
    ]


def _beneath(folder: Path, name: str) -> Path:
    """Return a folder in another. Raises InputError where its name, which a file gives, leads elsewhere."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise InputError(f"{shown(folder.parent / RESULTS)}: found the system {name!r}, expected no path")
    return folder / name


def _song_scores(folder: Path) -> SongScores:
    """Read the scores of songs: of each the median over its windows; those without a score are left out."""
    found: SongScores = {}
    for path in sorted(folder.glob("*.json")):
        song = song_scores.read(path)
        for target in song.targets:
            for metric in METRICS:
                value = song_score(song, target, metric)
                if np.isfinite(value):
                    found.setdefault(target, {}).setdefault(metric, {})[song.track] = value
    return found


def _about(path: Path) -> dict[str, Any]:
    return read_earlier(path, dict, "expected what the couplings command wrote") or {}


def _couplings(path: Path, about: Mapping[str, Any]) -> Couplings | None:
    seed = "" if about.get("seed") is None else f", seed {about['seed']}"
    title = f"{about.get('system', path.parent.name)}{seed}, {about.get('form', '')} form"
    near = [one for one in about.get("diagonal_shares") or [] if one["weighted_mapping"] is not None]
    words = [f"within ±{one['within_hz']:g} Hz" if one["within_hz"] else "on the diagonal" for one in near]
    says = ", ".join(f"{100 * one['weighted_mapping']:.0f} % {word}" for one, word in zip(near, words, strict=True))
    pictures = (path.with_name(f"mapping_{axis}.png") for axis in ("log", "linear"))
    return next((Couplings(title, picture, says) for picture in pictures if picture.is_file()), None)


def prefix_of(folders: Sequence[ResultsFolder], folder: ResultsFolder) -> str:
    """Return what a folder's systems are called by, before their names: of one folder nothing."""
    return f"{folder.label}: " if len(folders) > 1 else ""
