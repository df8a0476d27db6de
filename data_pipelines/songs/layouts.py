"""Songs in a folder, found by how it is laid out; by which names a file is what, `names` says.

DSD100:      Mixtures/{Dev,Test}/<track>/mixture.wav, Sources/{Dev,Test}/<track>/{bass,drums,other,vocals}.wav
MUSDB18-HQ:  {train,test,valid}/<track>/{mixture,bass,drums,other,vocals}.wav
MUSDB18:     {train,test,valid}/<track>.stem.mp4
Any origin:  <split>/<track>/{vocals,<any other stem>…}.<any sound>, and a mixture where it is not their sum

Vocals, and a mixture, an accompaniment or at least one other stem, are enough in all of them.
"""

import os
from pathlib import Path

from data_pipelines.songs.found import FoundSongs
from data_pipelines.songs.names import STEM_FILE_ENDING, split_name
from data_pipelines.songs.song_folders import Finder, entries, folders_in, is_song_like, listed
from data_pipelines.songs.tracks import Split, Track
from madsep_jax.errors import InputError, shown
from madsep_jax.host.files import reading

_LOOKED_FOR = "expected DSD100's folders Mixtures and Sources or MUSDB18-HQ's folders train and test"


def find_tracks(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks that `find_songs` finds. Raises InputError as that, and where a song cannot be used."""
    return list(find_songs(folder).without_bad(skip=False).tracks)


def find_songs(folder: str | os.PathLike[str]) -> FoundSongs:
    """Return the songs of all splits, sorted by name; only the files' headers are read.

    The layout may also lie in one subfolder of `folder` (such as DSD100/). Dev is "train", Test is "test", and any
    split may be missing. A name may occur in several: the pair (split, name) is unique. A song that cannot be used is
    among the bad ones.

    Raises:
        InputError: the folder is missing, cannot be read, or is in neither layout or without songs.
    """
    folder = _existing(folder, "the folder of DSD100 or MUSDB18-HQ")
    with reading(folder):
        return _songs_of_root(_find_root(folder))


def find_stem_files(folder: str | os.PathLike[str]) -> FoundSongs:
    """Return the songs in a folder like MUSDB18's, sorted by name.

    Files that lie in the folder itself, where no split has any, are songs to train on. Raises InputError where the
    folder is missing or has no such file.
    """
    folder = _existing(folder, "that of MUSDB18, with train and test")
    finder = Finder()
    with reading(folder):
        for split, path in _splits(folder):
            finder.add_split(path, split)
        if finder.is_empty:
            finder.add_stem_files(folder, "train")
    if finder.is_empty:
        expected = f"no {STEM_FILE_ENDING} files, expected them in its folders train and test"
        raise InputError(f"{shown(folder)}: {expected}")
    return finder.songs()


def find_stem_folders(folder: str | os.PathLike[str]) -> FoundSongs:
    """Return the songs of all splits, which may have any name, sorted by name; only the files' headers are read.

    Stems are the sound files other than a mixture. A song that cannot be used is among the bad ones. Raises InputError
    where the folder is missing or has no songs.
    """
    folder = _existing(folder, "one with a folder for each split")
    finder = Finder()
    with reading(folder):
        for path in folders_in(folder):
            finder.add_split(path, split_name(path.name) or path.name)
    if finder.is_empty:
        expected = "expected a folder for each split, in it one for each track"
        raise InputError(f"{shown(folder)}: found {listed(entries(folder))}, {expected}")
    return finder.songs()


def _existing(folder: str | os.PathLike[str], expected: str) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{shown(folder)}: {found}, expected {expected}")
    return folder


def _find_root(folder: Path) -> Path:
    """Return the folder that has a layout: `folder`, or the one in it that does."""
    if _layout(folder):
        return folder
    roots = [path for path in folders_in(folder) if _layout(path)]
    if not roots:
        found = listed(entries(folder))
        nearer = next((path for path in [folder, *folders_in(folder)] if is_song_like(path)), None)
        hint = f"; a song's folder lies in one of these, as in train/{shown(nearer.name)}" if nearer else ""
        raise InputError(f"{shown(folder)}: found {found}, {_LOOKED_FOR}{hint}")
    if len(roots) > 1:
        raise InputError(f"{shown(folder)}: several data sets ({listed(roots)}), expected one of them")
    return roots[0]


def _layout(folder: Path) -> str | None:
    found = []
    if _named(folder, "mixtures") or _named(folder, "sources"):
        found.append("DSD100")
    if any(split in ("train", "test") for split, _ in _splits(folder)):
        found.append("MUSDB18-HQ")
    if len(found) > 1:
        raise InputError(f"{shown(folder)}: folders of both DSD100 and MUSDB18-HQ, {_LOOKED_FOR}")
    return found[0] if found else None


def _songs_of_root(root: Path) -> FoundSongs:
    finder = Finder()
    if _layout(root) == "DSD100":
        where = "Mixtures/Dev and Mixtures/Test"
        _add_dsd100(root, finder)
        known = {*_named(root, "mixtures"), *_named(root, "sources")}
    else:
        where = "train or test"
        known = {path for _, path in _splits(root)}
        for split, path in _splits(root):
            finder.add_split(path, split)
    finder.pass_over_others(root, known)
    if finder.is_empty:
        raise InputError(f"{shown(root)}: no tracks, expected a folder for each track in {where}")
    return finder.songs()


def _add_dsd100(root: Path, finder: Finder) -> None:
    """Add the songs of two trees, in which a song has the same name."""
    trees = [_named(root, name) or [root / name.capitalize()] for name in ("mixtures", "sources")]
    for tree in (tree for pair in trees for tree in pair):
        finder.pass_over_others(tree, {path for _, path in _splits(tree)})
    for split, usual in (("train", "Dev"), ("test", "Test"), ("valid", "Valid")):
        found = [[path for tree in pair for its, path in _splits(tree) if its == split] for pair in trees]
        name = next((path.name for paths in found for path in paths), usual)
        mixtures, sources = (paths or [pair[0] / name] for paths, pair in zip(found, trees, strict=True))
        finder.add_pairs(mixtures, sources, split)


def _splits(folder: Path) -> list[tuple[Split, Path]]:
    return [(split, path) for path in folders_in(folder) if (split := split_name(path.name))]


def _named(folder: Path, name: str) -> list[Path]:
    return [path for path in folders_in(folder) if path.name.casefold() == name]
