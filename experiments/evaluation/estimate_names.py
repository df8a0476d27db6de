"""Files of separated songs by their names: of which song and source each is, as separators of all kinds name them."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.songs.names import MORE_PARTS, PARTS, ROLES, composed, is_passed_over, is_sound, stem_name, words
from data_pipelines.songs.tracks import safe_name
from madsep_jax.errors import InputError

_KNOWN = {name: stem_name(name) for names in (*ROLES.values(), (*PARTS, *MORE_PARTS)) for name in names}
_LONGEST = max(len(name.split("_")) for name in _KNOWN)
_WORDS = {word for name in _KNOWN for word in name.split("_")}


@dataclass(frozen=True)
class EstimateFile:
    """A sound file: of which song and source it is, how many words its path has, and which of them are neither's."""

    path: Path
    song: str
    stem: str
    words: int
    beside: tuple[str, ...] = ()


def sounds_in(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the sound files in a folder, and in so many folders within each other, in order of their names."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if is_passed_over(path):
            continue
        if entry.is_dir():
            yield from sounds_in(path, depth - 1) if depth else ()
        elif is_sound(path):
            yield path


def by_pattern(pattern: str, songs: Sequence[str]) -> Callable[[Path, Path], EstimateFile | None]:
    """Return what finds the song and the source of a file by a pattern, whose letters may be of any case."""
    fields = re.findall(r"\{(.*?)\}", pattern)
    if sorted(set(fields) - {"ext"}) not in (["song"], ["song", "stem"]) or len(set(fields)) < len(fields):
        raise InputError(
            f"--estimate-name {pattern}: expected {{song}} and, unless all are voices, {{stem}}: {{song}}_{{stem}}.wav"
        )
    names = {composed(name).casefold(): song for song in songs for name in (song, safe_name(song))}
    sources = sorted((name.replace("_", r"[\W_]*") for name in _KNOWN), key=len, reverse=True)
    kinds = {
        "{song}": "(?P<song>" + "|".join(sorted(map(re.escape, names), key=len, reverse=True)) + ")",
        "{stem}": "(?P<stem>" + "|".join(sources) + ")",
        "{ext}": r"\w+",
        "*": "[^/]*",
    }
    parts = re.split(r"(\{song\}|\{stem\}|\{ext\}|\*)", composed(pattern).casefold())
    whole = re.compile("".join(kinds.get(part, re.escape(part)) for part in parts))

    def find(path: Path, place: Path) -> EstimateFile | None:
        found = whole.fullmatch(composed(place.as_posix()).casefold())
        return (
            EstimateFile(path, names[found["song"]], stem_name(found.groupdict().get("stem", "vocals")), 0)
            if found
            else None
        )

    return find


def by_name(songs: Sequence[str]) -> Callable[[Path, Path], EstimateFile | None]:
    """Return what finds the song and the source of a file by the words of its path, whatever stands between them.

    A song's words are in the name of a folder or of the file; of several songs it is that with the most. Of songs that
    differ in nothing but what stands between words, it is the one that is there letter by letter.
    """
    known: dict[tuple[str, ...], set[str]] = {}
    for song in songs:
        for name in (song, safe_name(song)):
            known.setdefault(tuple(words(name)), set()).add(song)
    longest_first = sorted((name for name in known if name), key=len, reverse=True)
    of_signs = sorted(known.get((), ()), key=len, reverse=True)

    def find(path: Path, place: Path) -> EstimateFile | None:
        parts = [composed(part) for part in (*place.parts[:-1], place.stem)]
        of_parts = [words(part) for part in parts]
        for name in longest_first:
            for level, its_words in enumerate(of_parts):
                starts = [at for at in range(len(its_words)) if tuple(its_words[at : at + len(name)]) == name]
                if not starts:
                    continue
                left = [*its_words[: starts[0]], *its_words[starts[0] + len(name) :]]
                stem, song = _stem(parts, of_parts, level, left, starts[0]), _nearest(known[name], parts[level])
                if stem and song:
                    beside = tuple(word for its in of_parts for word in _beside(its, name))
                    return EstimateFile(path, song, stem, sum(map(len, of_parts)), beside)
        for song in of_signs:  # which is no song of words, and has no more beside it than its source and a number
            for level, part in enumerate(parts):
                found = re.fullmatch(rf"(?:\d+[_ -]+)?{re.escape(composed(song))}(?P<rest>|[_ .({{\[-].*)", part)
                left = words(found["rest"]) if found else []
                if found and _WORDS.issuperset(left) and (stem := _stem(parts, of_parts, level, left, 0)):
                    return EstimateFile(path, song, stem, sum(map(len, of_parts)))
        return None

    return find


def _nearest(songs: Collection[str], part: str) -> str | None:
    """Return the one of these songs whose longest name is a piece of a path's part."""
    if len(songs) == 1:
        return next(iter(songs))
    there = [(len(name), song) for song in songs for name in {composed(song), safe_name(song)} if name in part]
    longest = {song for length, song in there if length == max(there)[0]}
    return longest.pop() if len(longest) == 1 else None


def _beside(its_words: list[str], song: tuple[str, ...]) -> Iterator[str]:
    """Yield those words that are neither a song's, nor a source's, nor a number."""
    at = 0
    while at < len(its_words):
        if tuple(its_words[at : at + len(song)]) == song:
            at += len(song)
            continue
        if its_words[at] not in _WORDS and not its_words[at].isdigit():
            yield its_words[at]
        at += 1


def without_doubtful(files: Sequence[EstimateFile]) -> tuple[list[EstimateFile], list[EstimateFile]]:
    """Part the files from those that may be of songs which nobody knows here, as Love Song_vocals.wav for Love.

    These have words beside song and source, and other songs' files of that source are named otherwise: they have none,
    or several songs have the same.
    """
    songs: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for file in files:
        songs.setdefault((file.stem, file.beside), set()).add(file.song)
    usual = {(stem, beside) for (stem, beside), named in songs.items() if not beside or len(named) > 1}
    stems = {stem for stem, _ in usual}
    doubtful = [file for file in files if file.stem in stems and (file.stem, file.beside) not in usual]
    return [file for file in files if file not in doubtful], doubtful


def _stem(parts: list[str], of_parts: list[list[str]], level: int, left: list[str], at: int) -> str | None:
    """Return the source that a path names beside its song, which is in the name of that level.

    By the file's whole name, else in brackets, just after the song (which is `at` a word of what is `left`), at the end
    or the start of the name, or by the folder around it.
    """
    if level < len(parts) - 1:
        left, at = of_parts[-1], len(of_parts[-1])
        if stem := _KNOWN.get("_".join(left)):
            return stem
    in_brackets = re.findall(r"[(\[{]([^)\]}]*)[)\]}]", parts[-1])
    lengths = range(_LONGEST, 0, -1)
    named = ["_".join(words(text)) for text in reversed(in_brackets)]
    named += ["_".join(left[at : at + length]) for length in lengths]
    named += ["_".join(left[-length:]) for length in lengths]
    named += ["_".join(left[:length]) for length in lengths]
    named += ["_".join(of_parts[level - 1])] if level == len(parts) - 1 > 0 else []
    return next((stem for name in named if (stem := _KNOWN.get(name)) and stem != "mixture"), None)
