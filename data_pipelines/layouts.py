"""Songs in a folder laid out as DSD100 or as MUSDB18-HQ, found by looking at it.

DSD100:      Mixtures/{Dev,Test}/<track>/mixture.wav, Sources/{Dev,Test}/<track>/{bass,drums,other,vocals}.wav
MUSDB18-HQ:  {train,test}/<track>/{mixture,bass,drums,other,vocals}.wav
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.tracks import STEMS, Split, Track, TrackAudio
from madsep_jax.audio import probe_audio, read_audio, shown
from madsep_jax.errors import InputError

_DSD100_SPLITS: dict[str, Split] = {"Dev": "train", "Test": "test"}
_MUSDB18_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
#: The endings looked for, in this order: where a stem is there as both, the wav is read.
_SUFFIXES = (".wav", ".flac")
_LOOKED_FOR = "expected DSD100's folders Mixtures and Sources or MUSDB18-HQ's folders train and test"


@dataclass(frozen=True)
class FolderTrack:
    """A song whose mixture and stems are files. `stem_paths` are in the order of STEMS; rate in Hz."""

    name: str
    split: Split
    sample_rate: int
    frames: int
    channels: int
    mixture_path: Path
    stem_paths: tuple[Path, ...]

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over each file's name, size and time of change (ns).

        Raises:
            InputError: a file has gone.
        """
        digest = hashlib.sha256()
        for path in (self.mixture_path, *self.stem_paths):
            try:
                found = path.stat()
            except OSError as e:
                raise InputError(f"{shown(path)}: {e.strerror}, expected the file that was there before") from e
            digest.update(f"{path.name}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]

    def read(self) -> TrackAudio:
        """Return the samples.

        Raises:
            InputError: a file cannot be read, holds NaN or infinite samples, or is no longer as `find_tracks`
                found it.
        """
        arrays_NC = []
        for path in (self.mixture_path, *self.stem_paths):
            audio = read_audio(path)
            found = _facts(audio.sample_rate, *audio.samples_NC.shape)
            expected = _facts(self.sample_rate, self.frames, self.channels)
            if found != expected:
                now, before = ", ".join(found), ", ".join(expected)
                raise InputError(f"{shown(path)}: {now}, expected {before} as it was when found")
            arrays_NC.append(audio.samples_NC)
        return TrackAudio(self.sample_rate, arrays_NC[0], dict(zip(STEMS, arrays_NC[1:], strict=True)))


def find_tracks(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks of both splits, sorted by name; only the files' headers are read.

    The layout may also lie in one subfolder of `folder` (such as DSD100/). Dev is "train", Test is "test";
    either may be missing. A stem may be .wav or .flac. Hidden entries, and files beside the tracks' folders,
    are ignored. A name may occur in both splits: the pair (split, name) is unique.

    Raises:
        InputError: the folder is missing, in neither layout or without tracks, or a track's mixture or stem
            is missing, not audio, or differs from the mixture in length, rate or channels.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{shown(folder)}: {found}, expected the folder of DSD100 or MUSDB18-HQ")
    try:
        root = _find_root(folder)
        is_dsd100 = _layout(root) == "DSD100"
        tracks: list[Track] = _dsd100_tracks(root) if is_dsd100 else _musdb18_tracks(root)
    except OSError as e:
        raise InputError(
            f"{shown(e.filename or folder)}: cannot be read ({e.strerror}), expected a readable folder"
        ) from e
    if not tracks:
        where = "Mixtures/Dev and Mixtures/Test" if is_dsd100 else "train or test"
        raise InputError(f"{shown(root)}: no tracks, expected a folder for each track in {where}")
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
        for layout, names in {"DSD100": ("Mixtures", "Sources"), "MUSDB18-HQ": tuple(_MUSDB18_SPLITS)}.items()
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
                    raise InputError(
                        f"{shown(missing / name)}: no such folder, expected as {shown(there / name)} is there"
                    )
            tracks.append(_track(name, split, mixtures / name, sources / name))
    return tracks


def _musdb18_tracks(root: Path) -> list[Track]:
    return [
        _track(path.name, split, path, path)
        for part, split in _MUSDB18_SPLITS.items()
        for path in _track_folders(root / part)
    ]


def _track(name: str, split: Split, mixture_folder: Path, stem_folder: Path) -> FolderTrack:
    """Return a track whose headers agree."""
    mixture_path = _sound_file(mixture_folder, "mixture")
    stem_paths = tuple(_sound_file(stem_folder, stem) for stem in STEMS)
    mixture = probe_audio(mixture_path)
    expected_facts = _facts(mixture.sample_rate, mixture.frames, mixture.channels)
    for path in stem_paths:
        stem = probe_audio(path)
        pairs = zip(_facts(stem.sample_rate, stem.frames, stem.channels), expected_facts, strict=True)
        for found, expected in pairs:
            if found != expected:
                raise InputError(f"{shown(path)}: {found}, expected {expected} like its {mixture_path.name}")
    return FolderTrack(name, split, mixture.sample_rate, mixture.frames, mixture.channels, mixture_path, stem_paths)


def _facts(sample_rate: int, frames: int, channels: int) -> tuple[str, str, str]:
    """Return in words what the files of one track share; the rate comes first, for lengths differ with it."""
    return f"{sample_rate} Hz", f"{channels} channel{'s' if channels > 1 else ''}", f"{frames} samples"


def _sound_file(folder: Path, stem: str) -> Path:
    for suffix in _SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.exists() or path.is_symlink():
            return path
    wanted = " or ".join(f"{stem}{suffix}" for suffix in _SUFFIXES)
    raise InputError(f"{shown(folder)}: found {_listed(_entries(folder))}, expected also {wanted}")


def _track_folders(folder: Path) -> list[Path]:
    entries = _entries(folder) if folder.is_dir() else []
    for path in entries:
        if path.is_symlink() and not path.exists():
            raise InputError(f"{shown(path)}: is a broken link, expected a track's folder")
    return [path for path in entries if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without hidden entries."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _listed(paths: list[Path], most: int = 6) -> str:
    names = [shown(path.name) for path in paths[:most]]
    return ", ".join(names) + (f" and {len(paths) - most} more" if len(paths) > most else "") or "nothing"
