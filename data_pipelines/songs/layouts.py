"""Songs in a folder, found by how it is laid out.

DSD100:      Mixtures/{Dev,Test}/<track>/mixture.wav, Sources/{Dev,Test}/<track>/{bass,drums,other,vocals}.wav
MUSDB18-HQ:  {train,test}/<track>/{mixture,bass,drums,other,vocals}.wav
MUSDB18:     {train,test}/<track>.stem.mp4
Any origin:  <split>/<track>/{vocals,<any other stem>…}.{wav,flac}, and mixture.{wav,flac} where it is not their sum
"""

import os
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.songs.song_files import STEM_FILE_SUFFIX, SUFFIXES, folder_track, stem_file_track
from data_pipelines.songs.tracks import STEMS, Split, Track
from madsep_jax.errors import InputError, shown

_DSD100_SPLITS: dict[str, Split] = {"Dev": "train", "Test": "test"}

#: MUSDB18's folders, each of a split of that name.
_MUSDB18_SPLITS = ("train", "test")

_LOOKED_FOR = "expected DSD100's folders Mixtures and Sources or MUSDB18-HQ's folders train and test"


def find_tracks(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks of both splits, sorted by name; only the files' headers are read.

    The layout may also lie in one subfolder of `folder` (such as DSD100/). Dev is "train", Test is "test"; either may
    be missing. A stem may be .wav or .flac. In place of folders, train/ and test/ may hold songs as `.stem.mp4` files,
    as in MUSDB18. Hidden entries, and files beside the tracks' folders, are ignored. A name may occur in both splits:
    the pair (split, name) is unique.

    Raises:
        InputError: the folder is missing, in neither layout or without tracks, or a track's mixture or stem
            is missing, not audio, or differs from the mixture in length, rate or channels.
    """
    folder = _existing(folder, "the folder of DSD100 or MUSDB18-HQ")
    try:
        root = _find_root(folder)
        is_dsd100 = _layout(root) == "DSD100"
        tracks = (_dsd100_tracks(root) if is_dsd100 else _musdb18_tracks(root)) or _stem_file_tracks(root)
    except OSError as e:
        where = shown(e.filename or folder)
        raise InputError(f"{where}: cannot be read ({e.strerror}), expected a readable folder") from e
    if not tracks:
        where = "Mixtures/Dev and Mixtures/Test" if is_dsd100 else "train or test"
        raise InputError(f"{shown(root)}: no tracks, expected a folder for each track in {where}")
    return _sorted(tracks)


def find_stem_files(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks in a folder like MUSDB18's, sorted by name.

    Files that lie in the folder itself, where neither train/ nor test/ has any, are songs to train on. Raises
    InputError where the folder is missing or has no such file, or one that cannot be read.
    """
    folder = _existing(folder, "that of MUSDB18, with train and test")
    tracks = _stem_file_tracks(folder) or [stem_file_track(path, "train") for path in _stem_files(folder)]
    if not tracks:
        raise InputError(f"{shown(folder)}: no {STEM_FILE_SUFFIX} files, expected them in its folders train and test")
    return _sorted(tracks)


def find_stem_folders(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks of all splits, sorted by name; only the files' headers are read.

    Stems are the sound files other than `mixture`; there must be `vocals` and at least one more, or a mixture. Where a
    stem is there as wav and as flac, the wav is read.

    Raises:
        InputError: the folder is missing or has no tracks, or a track has no vocals, nothing beside them, or files
            that are not audio or differ in length, rate or channels.
    """
    folder = _existing(folder, "one with a folder for each split")
    tracks = [_stems_track(path, split.name) for split in _track_folders(folder) for path in _track_folders(split)]
    if not tracks:
        found = _listed(_entries(folder))
        raise InputError(f"{shown(folder)}: found {found}, expected a folder for each split, in it one for each track")
    return _sorted(tracks)


def _existing(folder: str | os.PathLike[str], expected: str) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{shown(folder)}: {found}, expected {expected}")
    return folder


def _sorted(tracks: Iterable[Track]) -> list[Track]:
    return sorted(tracks, key=lambda track: (track.name, track.split))


def _find_root(folder: Path) -> Path:
    """Return the folder that has a layout: `folder`, or the one in it that does."""
    if _layout(folder):
        return folder
    roots = [path for path in _entries(folder) if path.is_dir() and _layout(path)]
    if not roots:
        raise InputError(f"{shown(folder)}: found {_listed(_entries(folder))}, {_LOOKED_FOR}")
    if len(roots) > 1:
        raise InputError(f"{shown(folder)}: several data sets ({_listed(roots)}), expected one of them")
    return roots[0]


def _layout(folder: Path) -> str | None:
    found = [
        layout
        for layout, names in {"DSD100": ("Mixtures", "Sources"), "MUSDB18-HQ": _MUSDB18_SPLITS}.items()
        if any((folder / name).is_dir() for name in names)
    ]
    if len(found) > 1:
        raise InputError(f"{shown(folder)}: folders of both DSD100 and MUSDB18-HQ, {_LOOKED_FOR}")
    return found[0] if found else None


def _dsd100_tracks(root: Path) -> list[Track]:
    tracks: list[Track] = []
    for part, split in _DSD100_SPLITS.items():
        mixtures, sources = root / "Mixtures" / part, root / "Sources" / part
        names = {path.name for path in (*_track_folders(mixtures), *_track_folders(sources))}
        for name in sorted(names):
            for there, missing in ((mixtures, sources), (sources, mixtures)):
                if not (missing / name).is_dir():
                    wanted = f"expected as {shown(there / name)} is there"
                    raise InputError(f"{shown(missing / name)}: no such folder, {wanted}")
            tracks.append(_track(name, split, mixtures / name, sources / name))
    return tracks


def _musdb18_tracks(root: Path) -> list[Track]:
    return [_track(path.name, split, path, path) for split in _MUSDB18_SPLITS for path in _track_folders(root / split)]


def _track(name: str, split: Split, mixture_folder: Path, stem_folder: Path) -> Track:
    mixture_path = _sound_file(mixture_folder, "mixture")
    return folder_track(name, split, mixture_path, tuple(_sound_file(stem_folder, stem) for stem in STEMS))


def _sound_file(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.exists() or path.is_symlink():
            return path
    wanted = " or ".join(f"{stem}{suffix}" for suffix in SUFFIXES)
    raise InputError(f"{shown(folder)}: found {_listed(_entries(folder))}, expected also {wanted}")


def _stems_track(folder: Path, split: Split) -> Track:
    paths: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for path in _entries(folder):
            if path.suffix == suffix:
                paths.setdefault(path.stem, path)
    if "vocals" not in paths or len(paths) < 2:
        found = _listed(list(paths.values()))
        raise InputError(f"{shown(folder)}: found {found}, expected vocals.wav or vocals.flac, and at least one more")
    mixture_path = paths.pop("mixture", None)
    # the voice first, as everywhere
    stem_paths = (paths.pop("vocals"), *(paths[name] for name in sorted(paths)))
    return folder_track(folder.name, split, mixture_path, stem_paths)


def _stem_file_tracks(folder: Path) -> list[Track]:
    return [stem_file_track(path, split) for split in _MUSDB18_SPLITS for path in _stem_files(folder / split)]


def _stem_files(folder: Path) -> list[Path]:
    found = folder.glob(f"*{STEM_FILE_SUFFIX}") if folder.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith("."))


def _track_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name; none where it is missing. Raises InputError on a broken link."""
    found = _entries(folder) if folder.is_dir() else []
    for path in found:
        if path.is_symlink() and not path.exists():
            raise InputError(f"{shown(path)}: is a broken link, expected a track's folder")
    return [path for path in found if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without hidden entries."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _listed(paths: list[Path]) -> str:
    """Return the first few names for an error line."""
    names, more = [shown(path.name) for path in paths[:6]], len(paths) - 6
    return ", ".join(names) + (f" and {more} more" if more > 0 else "") or "nothing"
