"""Songs of any origin: a folder for each split, in it one for each song, in that a sound file for each stem.

<split>/<track>/{vocals,<any other stem>…}.{wav,flac}, and mixture.{wav,flac} where it is not the stems' sum.
"""

import os
from pathlib import Path

from data_pipelines.folder_track import SUFFIXES, checked_track
from data_pipelines.folders import entries, listed, track_folders
from data_pipelines.tracks import Split, Track
from madsep_jax.audio import shown
from madsep_jax.errors import InputError


def find_stem_folders(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks of all splits, sorted by name; only the files' headers are read.

    Stems are the sound files other than `mixture`; there must be `vocals` and at least one more, or a mixture. Where a
    stem is there as wav and as flac, the wav is read.

    Raises:
        InputError: the folder is missing or has no tracks, or a track has no vocals, nothing beside them, or files
            that are not audio or differ in length, rate or channels.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: no such folder, expected one with a folder for each split")
    tracks: list[Track] = [_track(path, split.name) for split in track_folders(folder) for path in track_folders(split)]
    if not tracks:
        found = listed(entries(folder))
        raise InputError(f"{shown(folder)}: found {found}, expected a folder for each split, in it one for each track")
    return sorted(tracks, key=lambda track: (track.name, track.split))


def _track(folder: Path, split: Split) -> Track:
    paths: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for path in entries(folder):
            if path.suffix == suffix:
                paths.setdefault(path.stem, path)
    if "vocals" not in paths or len(paths) < 2:
        found = listed(list(paths.values()))
        raise InputError(f"{shown(folder)}: found {found}, expected vocals.wav or vocals.flac, and at least one more")
    mixture_path = paths.pop("mixture", None)
    # the voice first, as everywhere
    return checked_track(
        folder.name, split, mixture_path, (paths.pop("vocals"), *(paths[name] for name in sorted(paths)))
    )
