"""What a folder of songs was found to hold: songs, those that cannot be used, and what is passed over."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from data_pipelines.songs.names import MUSDB18_VALIDATION
from data_pipelines.songs.tracks import Split, Track
from madsep_jax.errors import InputError, InputErrors, shown, some_of


@dataclass(frozen=True)
class BadSong:
    """A song that cannot be used, and why: a line that names a file."""

    split: Split
    name: str
    line: str


@dataclass(frozen=True)
class Unused:
    """A file of a song, or of a split, that is not used, and the reason."""

    where: str
    file: str
    reason: str


@dataclass(frozen=True)
class FoundSongs:
    """All songs of a folder; those of one split in the order of their names."""

    tracks: Sequence[Track]
    bad: Sequence[BadSong] = ()
    unused: Sequence[Unused] = ()
    remarks: Sequence[str] = ()
    """Lines about songs that are not used as they are: cut to the shortest file, without a mixture, …"""
    elsewhere: Sequence[str] = ()
    """The names of songs of other splits."""

    @property
    def names(self) -> list[str]:
        """The names of all songs, the bad ones too."""
        return [track.name for track in self.tracks] + [one.name for one in self.bad]

    def of(self, *splits: Split) -> "FoundSongs":
        """Return those of some splits."""
        tracks = [track for track in self.tracks if track.split in splits]
        bad = [one for one in self.bad if one.split in splits]
        there = {track.name for track in tracks} | {one.name for one in bad}
        return replace(self, tracks=tracks, bad=bad, elsewhere=[name for name in self.names if name not in there])

    def with_validation_list(self) -> "FoundSongs":
        """Return it with the training songs of MUSDB18's validation list in the split "valid"."""
        songs: list[Track] = []
        for track in self.tracks:
            listed = track.split == "train" and track.name in MUSDB18_VALIDATION
            songs.append(replace(track, split="valid") if listed else track)  # type: ignore[type-var]
        return replace(self, tracks=songs)

    def lines(self) -> list[str]:
        """Return what a person must know of files that are not used as they are; one line for files of one kind."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for one in self.unused:
            kinds.setdefault((one.file, one.reason), []).append(one.where)
        lines = [f"{with_songs(where, file)}: not used, {reason}" for (file, reason), where in kinds.items()]
        return [*lines, *self.remarks]

    def checked(
        self, fault: Callable[[Track], str], workers: int = 1, on_track: Callable[[Track], object] = lambda track: None
    ) -> "FoundSongs":
        """Return it with the songs bad of which `fault` says something, each asked once, so many at a time."""
        tracks, bad = [], list(self.bad)
        pool = ThreadPoolExecutor(workers)
        try:
            for track, line in zip(self.tracks, pool.map(fault, self.tracks), strict=True):
                if line:
                    bad.append(BadSong(track.split, track.name, line))
                else:
                    tracks.append(track)
                on_track(track)
        finally:  # an error or interruption begins no more
            pool.shutdown(wait=False, cancel_futures=True)
        return replace(self, tracks=tracks, bad=bad)

    def apart(self, *, by_content: bool = True) -> "FoundSongs":
        """Return it without training songs that are in another split, too, by their name or content: these are bad."""
        others = [track for track in self.tracks if track.split != "train"]
        names = {track.name: track for track in others}
        contents = {track.fingerprint(): track for track in others} if by_content else {}

        def fault(track: Track) -> str:
            if track.split != "train":
                return ""
            other = names.get(track.name) or (contents.get(track.fingerprint()) if by_content else None)
            if other is None:
                return ""
            name = "" if other.name == track.name else f", by the name {shown(other.name)}"
            return f"{shown(track.name)}: is in train and in {other.split}{name}, expected in one of them"

        return self.checked(fault)

    def without_bad(self, skip: bool) -> "FoundSongs":
        """Return it, its bad songs left out. Raises InputError that names them all, unless they are to be skipped."""
        if self.bad and not (skip and self.tracks):
            raise songs_error([one.line for one in self.bad], len(self.tracks) + len(self.bad))
        return self


def fault_of(check: Callable[[], object]) -> str:
    """Return what an InputError of a check says; nothing where it passes."""
    try:
        check()
    except InputError as error:
        return str(error)
    return ""


def songs_error(lines: Sequence[str], songs: int) -> InputError:
    """Return the error about bad songs, of so many."""
    if len(lines) == 1:
        return InputError(lines[0] if songs == 1 else f"{lines[0]} (--skip-bad leaves the song out)")
    found = f"{len(lines)} of {songs} songs cannot be used"
    advice = "expected others" if len(lines) == songs else "mend them, or leave them out by --skip-bad"
    return InputErrors(f"{found}; {advice}:", lines)


def left_out(bad: Iterable[BadSong]) -> str:
    """Return in words, for tables, which songs are left out as bad; empty for none."""
    names = [shown(one.name) for one in bad]
    return f"{len(names)} songs left out as bad: {', '.join(names)}" if names else ""


def with_songs(songs: Sequence[str], file: str = "") -> str:
    """Return in words a file of these songs, or the songs themselves."""
    if len(songs) == 1:
        return f"{songs[0]}/{file}" if file else songs[0]
    found = f"{len(songs)} songs ({some_of(songs)})"
    return f"{file} of {found}" if file else found
