"""What becomes of each song: checked before anything is computed or written."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.separator.options import FORMATS, SeparateOptions
from experiments.separator.songs import GivenSongs, Names, Song
from madsep_jax.config.signal import STEMS
from madsep_jax.errors import InputError, shown
from madsep_jax.separator.song_file import SongFile, song_file
from madsep_jax.separator.stem_files import is_result

#: Of two songs that have one name, one of these parts the results.
_PARTING = ("{folder}/{song}/{stem}.{ext}", "{song}.{songext}/{stem}.{ext}")

_Places = dict[str, Path]
_Inodes = Collection[tuple[int, int]]


@dataclass(frozen=True)
class Plans:
    """All songs of a command."""

    songs: list[SongFile]
    failures: list[str]
    """What is wrong with others, a line each."""
    done: int
    """Songs that are left out, as their results are there."""


def plan_songs(found: GivenSongs, options: SeparateOptions) -> Plans:
    """Check all songs and all places for results.

    Raises InputError where nothing can be written at all, or two songs have one name.
    """
    _check_folder(options.out)
    names = Names(options.name, options.results)
    plans, failures, done = list[SongFile](), list(found.failures), 0
    places: dict[Song, _Places] = {}
    songs = _without_results(found.songs, names, options.out)
    for song in songs:
        try:
            places[song] = {stem: names.path(options.out, song, stem, options.format) for stem in options.results}
        except InputError as error:
            failures.append(str(error))
    _check_names_differ(places)
    inodes = {inode for song in songs if (inode := _inode(song.path))}
    for song, its_places in places.items():
        if options.skip_existing and all(os.path.isfile(place) for place in its_places.values()):
            done += 1
            continue
        try:
            for place in its_places.values():
                _check_folder(place.parent)
                _check_file(place, inodes)
            stale = [names.path(options.out, song, stem, ext) for stem in its_places for ext in FORMATS]
            stale = [path for path in stale if path.suffix != f".{options.format}" and _is_stale(path, inodes)]
            plans.append(
                song_file(
                    song.path,
                    options.out,
                    its_places,
                    format=options.format,
                    subtype=options.subtype,
                    bitrate=options.bitrate,
                    start_s=options.start,
                    duration_s=options.duration,
                    stale=stale,
                )
            )
        except InputError as error:
            failures.append(str(error))
    return Plans(plans, failures, done)


def _without_results(songs: list[Song], names: Names, out: Path) -> list[Song]:
    """Leave out what was found in a folder, or by a pattern, and is a result of another song found.

    A file that only stands where a result would is a song, which no result may replace.
    """
    results = set()
    for song in songs:
        try:
            paths = [names.path(out, song, stem, ext) for stem in STEMS for ext in FORMATS]
        except InputError:  # is reported elsewhere
            continue
        results |= {os.path.abspath(path) for path in paths} - {os.path.abspath(song.path)}
    places = {song: os.path.abspath(song.path) in results and not song.given for song in songs}
    return [song for song, is_place in places.items() if not (is_place and is_result(song.path))]


def _check_names_differ(places: Mapping[Song, _Places]) -> None:
    first: dict[Path, Song] = {}
    for song, its_places in places.items():
        for place in its_places.values():
            other = first.setdefault(place, song)
            if other is not song:
                parting = _PARTING[other.folder == song.folder]
                raise InputError(
                    f"{shown(other.path)} and {shown(song.path)}: found one place, {shown(place)}, for the results of "
                    f'both, expected names that differ (--name "{parting}" parts them)'
                )


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder is not there and cannot be made, or cannot be written to."""
    existing = _existing(folder)
    if not existing.is_dir():
        raise InputError(f"{shown(existing)}: found a file, expected a folder for the results")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{shown(existing)}: cannot be written to, expected a folder for the results")


def _existing(path: Path) -> Path:
    """Return a path, or the nearest of those that it lies in that is there."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _check_file(path: Path, songs: _Inodes) -> None:
    """Raise InputError where a result cannot have its name, or would replace a folder, or one of the songs."""
    longest = os.pathconf(_existing(path.parent), "PC_NAME_MAX")
    if any(len(os.fsencode(part)) > longest for part in path.parts):
        raise InputError(f"{shown(path)}: found a name of more than {longest} bytes; choose another --name")
    if path.is_dir():
        raise InputError(f"{shown(path)}: found a folder, expected a place for a file of the results")
    if _inode(path) in songs:
        raise InputError(f"{shown(path)}: is one of the songs, and would be replaced by a result; choose another --out")


def _is_stale(path: Path, songs: _Inodes) -> bool:
    return os.path.isfile(path) and _inode(path) not in songs and is_result(path)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
