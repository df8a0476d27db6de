"""Files of separated songs by their names: of which song and source each is, as separators of all kinds name them."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.songs.names import MORE_PARTS, PARTS, ROLES, composed, is_passed_over, is_sound, stem_name, words
from data_pipelines.songs.tracks import safe_name
from madsep_jax.errors import InputError

_KNOWN = {name: stem_name(name) for names in (*ROLES.values(), (*PARTS, *MORE_PARTS)) for name in names}
_LONGEST = max(len(name.split("_")) for name in _KNOWN)


@dataclass(frozen=True)
class EstimateFile:
    """A sound file: of which song and source it is, and how many words its path has."""

    path: Path
    song: str
    stem: str
    words: int


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

    A song's words are in the name of a folder or of the file; of several songs it is that with the most.
    """
    known: dict[tuple[str, ...], set[str]] = {}
    for song in songs:
        for name in (song, safe_name(song)):
            known.setdefault(tuple(words(name)), set()).add(song)
    longest_first = sorted((name for name in known if name), key=len, reverse=True)

    def find(path: Path, place: Path) -> EstimateFile | None:
        parts = [composed(part) for part in (*place.parts[:-1], place.stem)]
        of_parts = [words(part) for part in parts]
        for name in longest_first:
            for level, its_words in enumerate(of_parts):
                starts = [at for at in range(len(its_words)) if tuple(its_words[at : at + len(name)]) == name]
                if not starts:
                    continue
                left = [*its_words[: starts[0]], *its_words[starts[0] + len(name) :]]
                stem = _stem(parts, of_parts, level, left, starts[0])
                same = [song for song in known[name] if len(known[name]) == 1 or composed(song) in parts[level]]
                return EstimateFile(path, same[0], stem, sum(map(len, of_parts))) if stem and len(same) == 1 else None
        return None

    return find


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
