"""What is in the folders of songs: which file is what, which is not used, and which songs cannot be."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from data_pipelines.songs.found import BadSong, FoundSongs, Unused, with_songs
from data_pipelines.songs.names import (
    MORE_PARTS,
    PARTS,
    ROLES,
    STEM_FILE_ENDING,
    composed,
    is_passed_over,
    is_sound,
    rank,
    stem_name,
    words,
)
from data_pipelines.songs.song_files import folder_track, stem_file_track
from data_pipelines.songs.tracks import Split, Track
from madsep_jax.errors import InputError, shown, some_of
from madsep_jax.host.files import reading

#: Come first, in this order, and then the parts.
_FIRST = ("mixture", "vocals", "accompaniment")


class Finder:
    """Collects the songs of a data set, and what is to be said of its folders."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._bad: list[BadSong] = []
        self._unused: list[Unused] = []
        self._cut: list[str] = []
        self._seen: set[tuple[Split, str]] = set()

    @property
    def is_empty(self) -> bool:
        """Whether there was no song, not even a bad one."""
        return not self._seen

    def songs(self) -> FoundSongs:
        """Return all that was added, sorted by name."""
        tracks = sorted(self._tracks, key=lambda track: (track.name, track.split))
        return FoundSongs(tracks, self._bad, self._unused, [*_remarks(tracks), *self._cut])

    def add_split(self, folder: Path, split: Split) -> None:
        """Add the songs of a split, folders and `.stem.mp4` files."""
        for path in entries(folder):
            if path.is_dir() or (path.is_symlink() and not path.exists()):
                self._add(split, path.name, partial(self._folder, path.name, split, [path]))
        self.add_stem_files(folder, split)
        self._pass_over_files(folder)
        for path in folder.iterdir():
            if path.name.startswith(".") and is_song_like(path):
                self._unused.append(Unused(shown(folder.name), shown(path.name), "hidden, by the dot in front"))

    def add_pairs(self, mixtures: Sequence[Path], sources: Sequence[Path], split: Split) -> None:
        """Add the songs of a split whose mixtures lie in some folders, and whose stems in others."""
        both = (mixtures, sources)
        found = [[path for tree in folders for path in entries(tree) if not path.is_file()] for folders in both]
        for name in sorted({composed(path.name) for paths in found for path in paths}):
            ours = [[path for path in paths if composed(path.name) == name] for paths in found]
            pair = [(paths or [folders[0] / name])[0] for paths, folders in zip(ours, both, strict=True)]
            for _ in range(max(map(len, ours))):  # where a tree has two of that name, the second is refused
                self._add(split, name, partial(self._folder, name, split, pair))
        for folder in (*mixtures, *sources):
            self._pass_over_files(folder)

    def add_stem_files(self, folder: Path, split: Split) -> None:
        """Add songs as `.stem.mp4` files."""
        for path in entries(folder):
            name = composed(path.name[: -len(STEM_FILE_ENDING)])
            if not _is_stem_file(path):
                continue
            if (split, name) in self._seen:
                self._unused.append(Unused(shown(folder.name), shown(path.name), "its folder is taken"))
            else:
                self._add(split, name, partial(stem_file_track, path, split))

    def pass_over_others(self, folder: Path, known: set[Path]) -> None:
        """Take note of songs that lie where none are looked for."""
        for path in folders_in(folder):
            if path not in known and (is_song_like(path) or any(is_song_like(inner) for inner in folders_in(path))):
                self._unused.append(Unused(shown(folder.name), shown(path.name), "no split (train, test, valid)"))
        self._pass_over_files(folder, stem_files=True)

    def _pass_over_files(self, folder: Path, stem_files: bool = False) -> None:
        loose = [path for path in entries(folder) if is_sound(path) and (stem_files or not _is_stem_file(path))]
        loose = [path for path in loose if path.is_file()]
        if loose:
            self._unused.append(Unused(shown(folder.name), listed(loose), "beside the folders of songs"))

    def _add(self, split: Split, name: str, find: Callable[[], Track]) -> None:
        name = composed(name)
        try:
            if (split, name) in self._seen:
                raise InputError(f"{shown(name)}: found twice in {split}, expected one song of a name")
            with reading(Path(name)):
                self._tracks.append(find())
        except InputError as error:
            self._bad.append(BadSong(split, name, str(error)))
        self._seen.add((split, name))

    def _folder(self, name: str, split: Split, folders: Sequence[Path]) -> Track:
        """Return the song in one folder, or in that of its mixture and that of its stems."""
        for path in folders:
            if path.is_symlink() and not path.exists():
                raise InputError(f"{shown(path)}: is a broken link, expected a track's folder")
        for path, other in zip(folders, folders[::-1], strict=True):
            if not path.is_dir():
                raise InputError(f"{shown(path)}: no such folder, expected as {shown(other)} is there")
        files, unused = choose_files([path for folder in folders for path in entries(folder)], name)
        _require_enough(folders, files)
        track, cut = folder_track(name, split, files)
        self._unused += [Unused(shown(composed(name)), file, reason) for file, reason in unused]
        self._cut += [cut] if cut else []
        return track


def choose_files(paths: Iterable[Path], song: str = "") -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """Return the files of a song by what they are, mixture and vocals first, and those not used, with the reason.

    A file named like its song is the mixture, and one named like it and a role ("Song (Vocals)") is that.
    Beside an accompaniment its parts are taken where drums, bass and other are all there, else the accompaniment.
    """
    files: dict[str, Path] = {}
    unused: list[tuple[str, str]] = []
    others = []
    for path in sorted(paths, key=lambda path: (_stem_of(path, song) != stem_name(path.stem), rank(path))):
        if _is_stem_file(path):
            unused.append((shown(path.name), "a song of its own"))
        elif not is_sound(path):
            others.append(path)
        elif (taken := files.setdefault(_stem_of(path, song), path)) is not path:
            unused.append((shown(path.name), f"{shown(taken.name)} is taken"))
    for path in others:
        name = stem_name(path.stem)
        if path.is_dir() and is_song_like(path):
            unused.append((shown(path.name), "a folder within a song's"))
        elif path.is_file() and name in (*ROLES, *PARTS) and name not in files:
            unused.append((shown(path.name), "no sound by its ending"))
    parts = sorted(files.keys() - ROLES.keys(), key=lambda name: (*(name != part for part in PARTS), name))
    if "accompaniment" in files and set(PARTS) <= set(parts):
        unused.append((shown(files.pop("accompaniment").name), "its parts drums, bass and other are there"))
    elif "accompaniment" in files:
        reason = f"a part of {shown(files['accompaniment'].name)}"
        unused += [(shown(files.pop(part).name), reason) for part in parts]
    return {name: files[name] for name in (*_FIRST, *parts) if name in files}, unused


def _stem_of(path: Path, song: str) -> str:
    """Return what a file of a song is by its name, without that of the song where it begins so."""
    name, own, of_song = stem_name(path.stem), words(path.stem), words(song)
    if name in (*ROLES, *PARTS, *MORE_PARTS) or not of_song or own[: len(of_song)] != of_song:
        return name
    role = stem_name(" ".join(own[len(of_song) :])) if own != of_song else "mixture"
    return role if role in (*ROLES, *PARTS) else name


def _require_enough(folders: Sequence[Path], files: dict[str, Path]) -> None:
    """Raise InputError where a song has no voice, nothing beside it, or, where mixtures have a tree, no mixture."""
    in_two = len(folders) > 1
    folder, wanted = folders[-1], ""
    if in_two and "mixture" not in files:
        folder, wanted = folders[0], "also mixture.wav"
    elif "vocals" not in files:
        wanted = "also vocals.wav"
    elif len(files) == 1:
        wanted = "also a mixture, an accompaniment or other stems"
    if wanted:
        found = listed(entries(folder))
        raise InputError(f"{shown(folder)}: found {found}, expected {wanted} (flac, mp3 or any other sound file)")


def _remarks(tracks: Sequence[Track]) -> list[str]:
    """Return lines about songs that lack what others have."""
    incomplete: dict[str, list[str]] = {}
    for track in tracks:
        missing = [part for part in PARTS if part not in track.stems]
        if 0 < len(missing) < len(PARTS):
            incomplete.setdefault(" and no ".join(missing), []).append(shown(track.name))
    lines = [f"{with_songs(songs)}: no {missing} beside the other parts" for missing, songs in incomplete.items()]
    sums = [shown(track.name) for track in tracks if "mixture" not in getattr(track, "files", ("mixture",))]
    if 0 < len(sums) < len(tracks):
        lines.append(f"{with_songs(sums)}: no mixture, unlike the other songs: the sum of the stems is taken")
    return lines


def is_song_like(folder: Path) -> bool:
    """Whether a folder can be read and holds sound."""
    try:
        return folder.is_dir() and any(is_sound(path) for path in entries(folder))
    except OSError:
        return False


def _is_stem_file(path: Path) -> bool:
    return path.name.casefold().endswith(STEM_FILE_ENDING)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name; none where it is missing."""
    return [path for path in entries(folder) if path.is_dir()]


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without what is hidden or the system's; nothing where it is none."""
    return sorted(path for path in folder.iterdir() if not is_passed_over(path)) if folder.is_dir() else []


def listed(paths: Sequence[Path]) -> str:
    """Return the first few names for an error line."""
    return some_of([shown(path.name) for path in paths], 6) or "nothing"
