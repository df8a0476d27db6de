"""Files of separated songs, under the names that separators of all kinds give them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.contents import content_of
from data_pipelines.songs.names import (
    MORE_PARTS,
    PARTS,
    ROLES,
    composed,
    is_passed_over,
    is_sound,
    rank,
    stem_name,
    words,
)
from data_pipelines.songs.tracks import Track, TrackAudio, fingerprint_of, safe_name
from madsep_jax.audio import probe_audio, read_audio
from madsep_jax.errors import InputError, shown

#: How many folders lie within each other at most.
_DEPTH = 5

_KNOWN = {name: stem_name(name) for names in (*ROLES.values(), (*PARTS, *MORE_PARTS)) for name in names}
_LONGEST = max(len(name.split("_")) for name in _KNOWN)

#: In place of what is not there.
REST = "mixture - vocals"


@dataclass(frozen=True)
class _File:
    """A sound file: of which song and source it is, and how much its path has beside these."""

    path: Path
    song: str
    stem: str
    extra: int


class EstimateFolder:
    """The files of one system."""

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        songs: Sequence[str],
        on_length: Callable[[str], None],
        pattern: str = "",
    ) -> None:
        """Find the files of the songs; `on_length` is told of files of another length.

        `pattern` has {song} and {stem}, and * for any text, as a path within the folder. Raises InputError where the
        folder is not there or cannot be read, or the pattern is none.
        """
        if not folder.is_dir():
            raise InputError(f"{shown(folder)}: no such folder, expected one of separated songs")
        self.folder, self.targets, self._on_length = folder, tuple(targets), on_length
        try:
            paths = list(_sounds(folder, _DEPTH))
        except OSError as error:
            where = shown(error.filename or folder)
            raise InputError(
                f"{where}: cannot be read ({error.strerror}), expected a folder of separated songs"
            ) from None
        find = _by_pattern(pattern, songs) if pattern else _by_name(songs)
        self._files = [found for path in paths if (found := find(path, path.relative_to(folder)))]
        self.strangers = len(paths) - len(self._files)
        """How many sound files are of none of the songs, or name no source."""
        self._hint = f" by --estimate-name {pattern}" if pattern else ""

    def files(self, track: Track) -> dict[str, list[Path]]:
        """Return the files whose sum is each target; none for what is mixture - vocals.

        Raises InputError where the song, or a target of it, is not there, or two files are as likely.
        """
        stems = self._stems(track)
        found: dict[str, list[Path]] = {}
        for target in self.targets:
            if target in stems:
                found[target] = [stems[target]]
            elif target == "accompaniment":
                found[target] = _accompaniment(stems)
            else:
                inside = ", ".join(shown(path.name) for path in stems.values()) or "no file"
                expected = f"expected {target}.wav (or another sound file, or --estimate-name)"
                raise InputError(f"{shown(self.folder / track.name)}: found {inside}{self._hint}, {expected}")
        return found

    def taken(self, track: Track) -> dict[str, str]:
        """Return in words, for each target, which files are taken, "SONG" standing for the song's name."""
        return {
            target: " + ".join(self._words(path, track) for path in paths) or REST
            for target, paths in self.files(track).items()
        }

    def unused(self, tracks: Sequence[Track]) -> list[str]:
        """Return lines about files that are not used: of these songs, of which each has passed `check`, or of none."""
        lines: Counter[str] = Counter()
        for track in tracks:
            taken = {path for paths in self.files(track).values() for path in paths}
            ours = [file.path for file in self._files if file.song == track.name and file.path not in taken]
            lines.update(self._words(path, track) for path in ours)
        found = [f"{what} of {count} songs: not used" for what, count in lines.items()]
        others = f"{self.strangers} sound files: not used, of no song or source that is scored"
        return [f"{shown(self.folder)}: {line}" for line in [*found, *([others] if self.strangers else [])]]

    def check(self, track: Track) -> None:
        """Read the files once, now or before.

        Raises InputError where one is missing, no sound, of another rate or number of channels than the song, or holds
        samples that are not finite.
        """
        for paths in self.files(track).values():
            for path in paths:
                info = probe_audio(path)
                _require(path, "Hz", info.sample_rate, track.sample_rate)
                _require(path, "channels", info.channels, track.channels or info.channels)
        self.fingerprint(track)

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when a file of the song does."""
        found = self.files(track)
        paths = [path for of_target in found.values() for path in of_target]
        counts = " ".join(f"{target}:{len(of_target)}" for target, of_target in found.items())
        return fingerprint_of(f"{counts} {content_of(paths, lambda: [read_audio(path) for path in paths])}")

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Return the estimates (N, C) by target.

        Files that are shorter than the song end in silence, longer ones are cut, as museval does. Raises InputError
        where a file cannot be read, or is of another rate or number of channels than the song.
        """
        found = {target: [self._read(path, audio) for path in paths] for target, paths in self.files(track).items()}
        estimates = {target: np.sum(parts, axis=0) for target, parts in found.items() if parts}
        if "accompaniment" in found and "accompaniment" not in estimates:
            estimates["accompaniment"] = np.float64(audio.mixture_NC) - estimates["vocals"]
        return {target: estimates[target] for target in self.targets}

    def _words(self, path: Path, track: Track) -> str:
        place = composed(path.relative_to(self.folder).as_posix())
        for name in (track.name, safe_name(track.name)):
            place = place.replace(name, "SONG")
        return shown(place)

    def _stems(self, track: Track) -> dict[str, Path]:
        """Return the file of each source of a song: that with the least beside its name, and of these a wav first."""
        found: dict[str, Path] = {}
        ordered = sorted((file for file in self._files if file.song == track.name), key=lambda file: file.extra)
        for stem in dict.fromkeys(file.stem for file in ordered):
            ours = [file for file in ordered if file.stem == stem]
            ours = sorted((file for file in ours if file.extra == ours[0].extra), key=lambda file: rank(file.path))
            first = ours[0].path
            for other in (file.path for file in ours):
                if other.with_suffix("") != first.with_suffix("") and rank(other)[0] == rank(first)[0]:
                    names = f"{shown(first.relative_to(self.folder))} and {shown(other.relative_to(self.folder))}"
                    raise InputError(
                        f"{shown(self.folder)}: found {names} for the {stem} of {shown(track.name)}, expected one of "
                        f"them, or --estimate-name"
                    )
            found[stem] = first
        return found

    def _read(self, path: Path, audio: TrackAudio) -> np.ndarray:
        found = read_audio(path)
        samples, channels = audio.mixture_NC.shape
        _require(path, "Hz", found.sample_rate, audio.sample_rate)
        _require(path, "channels", found.samples_NC.shape[1], channels)
        if more := len(found.samples_NC) - samples:
            what = "longer than the song: cut" if more > 0 else "shorter than the song: silence added"
            self._on_length(f"{shown(path)}: {abs(more)} samples {what}")
        return np.pad(found.samples_NC[:samples].astype(np.float64), ((0, max(-more, 0)), (0, 0)))


def _require(path: Path, unit: str, found: int, expected: int) -> None:
    if found != expected:
        raise InputError(f"{shown(path)}: found {found} {unit}, expected {expected}, the song's")


def _accompaniment(stems: Mapping[str, Path]) -> list[Path]:
    """Return the files whose sum is an accompaniment: all parts, or `other` where it alone stands beside the voice."""
    parts = [stem for stem in stems if stem not in ROLES]
    if set(PARTS) <= set(parts) or parts == ["other"]:
        return [stems[part] for part in parts]
    return []


def _sounds(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if is_passed_over(path):
            continue
        if entry.is_dir():
            yield from _sounds(path, depth - 1) if depth else ()
        elif is_sound(path):
            yield path


def _by_pattern(pattern: str, songs: Sequence[str]) -> Callable[[Path, Path], _File | None]:
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

    def find(path: Path, place: Path) -> _File | None:
        found = whole.fullmatch(composed(place.as_posix()).casefold())
        return (
            _File(path, names[found["song"]], stem_name(found.groupdict().get("stem", "vocals")), 0) if found else None
        )

    return find


def _by_name(songs: Sequence[str]) -> Callable[[Path, Path], _File | None]:
    """Return what finds the song and the source of a file by the words of its path, whatever stands between them.

    A song's words are in the name of a folder or of the file; of several songs it is that with the most.
    """
    known: dict[tuple[str, ...], set[str]] = {}
    for song in songs:
        for name in (song, safe_name(song)):
            known.setdefault(tuple(words(name)), set()).add(song)
    longest_first = sorted((name for name in known if name), key=len, reverse=True)

    def find(path: Path, place: Path) -> _File | None:
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
                return _File(path, same[0], stem, sum(map(len, of_parts))) if stem and len(same) == 1 else None
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
