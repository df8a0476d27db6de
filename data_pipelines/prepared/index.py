"""What a prepared set says of itself: its settings and its tracks, in TFDS's `metadata.json`."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.settings import FeatureSettings
from data_pipelines.songs.tracks import Track
from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import read_json

AnyTrack = TypeVar("AnyTrack", Track, TrackFacts)

FILE_NAME = "metadata.json"

#: To be raised when records change.
FORMAT = 1


@dataclass(frozen=True)
class SetIndex:
    """Name, settings and tracks of a set, the tracks of a split in the order of its shards."""

    name: str
    settings: FeatureSettings
    tracks: Sequence[TrackFacts]
    left_out: Sequence[str] = ()
    """A line about each song that was left out as bad."""

    def content(self) -> dict[str, Any]:
        """Return it as JSON values."""
        tracks = [dataclasses.asdict(track) for track in self.tracks]
        left_out = {"left_out": list(self.left_out)} if self.left_out else {}
        return {"format": FORMAT, "name": self.name, "settings": to_dict(self.settings), "tracks": tracks, **left_out}

    def split(self, name: str) -> list[TrackFacts]:
        """Return the tracks of a split, in the order of its shards."""
        return [track for track in self.tracks if track.split == name]

    def shard_paths(self, folder: Path, split: str) -> list[Path]:
        """Return the files of a split, one for each track; `folder` is the set's."""
        count = len(self.split(split))
        return [folder / f"{self.name}-{split}.array_record-{number:05d}-of-{count:05d}" for number in range(count)]


def read_index(folder: Path) -> SetIndex:
    """Read what a set says of itself. Raises InputError where it is none, or of another version of this project."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(f"{shown(folder)}: found no {FILE_NAME}, expected a set by `python -m experiments.prepare`")
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(f"{shown(path)}: records of format {found!r}, expected {FORMAT}; prepare the set again")
    try:
        tracks = [TrackFacts(**facts) for facts in content["tracks"]]
        settings = from_dict(FeatureSettings, content["settings"], "settings")
        return SetIndex(content["name"], settings, tracks, content.get("left_out", ()))
    except (KeyError, TypeError):
        raise InputError(f"{shown(path)}: is damaged, expected what preparing the set wrote") from None


def find_set(path: Path) -> Path:
    """Return the folder of the one prepared set in a folder, which may be it. Raises InputError for none or several."""
    if (path / "dataset_info.json").is_file():
        return path
    found = [info.parent for depth in ("*", "*/*", "*/*/*") for info in sorted(path.glob(f"{depth}/dataset_info.json"))]
    found = [folder for folder in found if ".unfinished" not in str(folder)]
    if not found:
        raise InputError(f"{path}: found no prepared set, expected one by `python -m experiments.prepare`")
    if len(found) > 1:
        names = ", ".join(str(folder.relative_to(path)) for folder in found[:6])
        raise InputError(f"{path}: several prepared sets ({names}), expected one of them")
    return found[0]


def by_split(tracks: Iterable[AnyTrack]) -> dict[str, list[AnyTrack]]:
    """Return the tracks of each split, in the order given."""
    splits: dict[str, list[AnyTrack]] = {}
    for track in tracks:
        splits.setdefault(track.split, []).append(track)
    return splits
