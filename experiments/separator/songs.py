"""Which songs are meant by files, folders and globs, and where the results of each go."""

import glob
import itertools
import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.songs.names import is_passed_over, is_sound
from madsep_jax.errors import InputError, shown, some_of


@dataclass(frozen=True)
class Song:
    """One file to separate."""

    path: Path
    folder: str
    """That it lies in, from the name of the folder that was given on."""
    given: bool
    """By its own name, and not in a folder or by a pattern."""


@dataclass(frozen=True)
class GivenSongs:
    """What the arguments of a command stand for."""

    songs: list[Song]
    failures: list[str]
    """What is wrong, a line for each argument that stands for nothing."""
    notes: list[str]
    """What was passed over, a line each."""


def given_songs(arguments: Sequence[Path], out: Path) -> GivenSongs:
    """Return the songs in the order of the arguments, each once.

    A folder stands for the sound files in it and below it, by name, without those in `out`, what a pattern matches for
    what that is. Hidden files and the folders of systems are passed over.
    """
    found, taken = GivenSongs([], [], []), set[str]()
    for argument in arguments:
        try:
            songs = list(_songs_of(argument, out, found))
        except InputError as error:
            found.failures.append(str(error))
            continue
        for song in songs:
            if (place := os.path.abspath(song.path)) not in taken:
                found.songs.append(song)
            taken.add(place)
    return found


def _songs_of(argument: Path, out: Path, found: GivenSongs) -> Iterator[Song]:
    if not os.path.lexists(argument):
        argument = Path(os.path.expanduser(argument))  # of patterns in quotation marks the shell leaves it
    if os.path.isdir(argument):
        yield from _songs_in(argument, argument, out, found)
    elif os.path.lexists(argument) or not glob.has_magic(str(argument)):
        folder = _folder_from(argument.absolute().parent, argument)
        yield Song(argument, folder, True)  # one that is not there is refused when it is opened
    else:
        matches = [Path(match) for match in sorted(glob.glob(str(argument), recursive=True))]
        root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), argument.absolute().parts))
        matches = [match for match in matches if not (_is_in(match, out) or _is_passed_over_in(root, match))]
        if not matches:
            raise InputError(f"{shown(argument)}: matches nothing, expected a sound file, a folder, or a pattern")
        for match in matches:
            if not os.path.isdir(match):
                yield Song(match, _folder_from(root, match), False)
            elif "**" not in argument.parts:  # which has matched what is in it as well
                yield from _songs_in(match, root, out, found)


def _songs_in(folder: Path, root: Path, out: Path, found: GivenSongs) -> Iterator[Song]:
    """Yield the sound files of a folder; a note tells what is in it besides."""
    songs, others, seen = list[Path](), list[Path](), {os.path.realpath(folder)}

    def refuse(error: OSError) -> None:
        found.failures.append(f"{shown(error.filename)}: cannot be read ({error.strerror}), expected a readable folder")

    for inside, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        below = [Path(inside, name) for name in sorted(folders) if not is_passed_over(Path(name))]
        below = [path for path in below if os.path.realpath(path) not in seen]  # links may lead in a circle
        seen.update(os.path.realpath(path) for path in below)
        folders[:] = [path.name for path in below if _is_in(folder, out) or not _is_in(path, out)]
        for path in [Path(inside, name) for name in sorted(files) if not is_passed_over(Path(name))]:
            (songs if is_sound(path) else others).append(path)
    if not songs:
        raise InputError(f"{shown(folder)}: found no sound files, expected some, or a sound file")
    if others:
        names = some_of([shown(path.name) for path in others])
        found.notes.append(f"{shown(folder)}: passed over, as not named like sound: {names}")
    yield from (Song(path, _folder_from(root, path), False) for path in songs)


def _folder_from(root: Path, path: Path) -> str:
    """Return the folder of a file, from the name of the folder `root` on."""
    folder, root = Path(os.path.abspath(path)).parent, Path(os.path.abspath(root))
    return os.path.relpath(folder, root.parent) if folder.is_relative_to(root) else folder.name


def _is_passed_over_in(root: Path, path: Path) -> bool:
    """Whether a file or folder is, or lies in, one that is passed over, of those that a pattern leaves open."""
    return any(is_passed_over(Path(part)) for part in path.absolute().parts[len(root.parts) :])


def _is_in(path: Path, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


class Names:
    """Where in a folder the results of each song go, by a pattern such as `{song}/{stem}.{ext}`."""

    FIELDS = ("song", "songext", "folder", "stem", "ext")

    def __init__(self, pattern: str, stems: Sequence[str]) -> None:
        """Raise InputError where the pattern has other fields, leaves its folder, or one name for two results."""
        self._pattern = pattern
        try:
            fields = list(string.Formatter().parse(pattern))
        except ValueError as error:
            raise InputError(f"--name {pattern}: {error}, expected for example {{song}}/{{stem}}.{{ext}}") from None
        names = [name for _, name, _, _ in fields if name is not None]
        for name, form, conversion in [(name, form, conversion) for _, name, form, conversion in fields if name]:
            if name not in self.FIELDS:
                valid = ", ".join(f"{{{field}}}" for field in self.FIELDS)
                raise InputError(f"--name {pattern}: unknown field {{{name}}}, expected one of: {valid}")
            if form or conversion:
                raise InputError(f"--name {pattern}: found a format for {{{name}}}, expected {{{name}}} alone")
        parts = pattern.split("/")
        if "" in names or not all(parts) or {".", ".."} & set(parts):
            raise InputError(f"--name {pattern}: expected a path within --out, as {{song}}/{{stem}}.{{ext}}")
        if len(stems) > 1 and "stem" not in names:
            raise InputError(f"--name {pattern}: gives {' and '.join(stems)} one name, expected {{stem}} in it")
        if not pattern.endswith(".{ext}"):
            raise InputError(f"--name {pattern}: expected .{{ext}} at its end")

    def path(self, out: Path, song: Song, stem: str, ext: str) -> Path:
        """Return the place of one result. Raises InputError where it has a name of dots alone."""
        values = {
            "song": song.path.stem,
            "songext": song.path.suffix.removeprefix("."),
            "folder": song.folder,
            "stem": stem,
            "ext": ext,
        }
        parts = [part for text in self._pattern.split("/") for part in text.format(**values).split("/") if part]
        if not all(part.strip(".") for part in parts):
            raise InputError(f"{shown(song.path)}: found a name of dots alone, expected one that can name a folder")
        return out.joinpath(*parts)
