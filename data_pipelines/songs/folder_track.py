"""One song as a folder of sound files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.songs.tracks import Split, TrackAudio
from madsep_jax.audio.files import probe_audio, read_audio
from madsep_jax.errors import InputError, shown

#: The endings looked for, in this order: where a stem is there as both, the wav is read.
SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class FolderTrack:
    """A song whose stems are files, named as the stems are; rate in Hz. Without a mixture it is their sum."""

    name: str
    split: Split
    sample_rate: int
    frames: int
    channels: int
    mixture_path: Path | None
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
        for path in self._paths:
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
        arrays_NC: dict[str, np.ndarray] = {}
        for path in self._paths:
            audio = read_audio(path)
            found = _facts(audio.sample_rate, *audio.samples_NC.shape)
            expected = _facts(self.sample_rate, self.frames, self.channels)
            if found != expected:
                now, before = ", ".join(found), ", ".join(expected)
                raise InputError(f"{shown(path)}: {now}, expected {before} as it was when found")
            arrays_NC[path.stem] = audio.samples_NC
        mixture_NC = arrays_NC.pop("mixture") if self.mixture_path else np.sum(list(arrays_NC.values()), axis=0)
        return TrackAudio(self.sample_rate, mixture_NC, arrays_NC)

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.mixture_path, *self.stem_paths) if self.mixture_path else self.stem_paths


def checked_track(name: str, split: Split, mixture_path: Path | None, stem_paths: tuple[Path, ...]) -> FolderTrack:
    """Return a track of these files. Raises InputError where the headers of two of them do not agree."""
    first_path, *others = (mixture_path, *stem_paths) if mixture_path else stem_paths
    first = probe_audio(first_path)
    expected_facts = _facts(first.sample_rate, first.frames, first.channels)
    for path in others:
        stem = probe_audio(path)
        pairs = zip(_facts(stem.sample_rate, stem.frames, stem.channels), expected_facts, strict=True)
        for found, expected in pairs:
            if found != expected:
                raise InputError(f"{shown(path)}: {found}, expected {expected} like its {first_path.name}")
    return FolderTrack(name, split, first.sample_rate, first.frames, first.channels, mixture_path, stem_paths)


def _facts(sample_rate: int, frames: int, channels: int) -> tuple[str, str, str]:
    """Return in words what the files of one track share; the rate comes first, for lengths differ with it."""
    return f"{sample_rate} Hz", f"{channels} channel{'s' if channels > 1 else ''}", f"{frames} samples"


def track_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name; none where it is missing. Raises InputError on a broken link."""
    found = entries(folder) if folder.is_dir() else []
    for path in found:
        if path.is_symlink() and not path.exists():
            raise InputError(f"{shown(path)}: is a broken link, expected a track's folder")
    return [path for path in found if path.is_dir()]


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name, without hidden entries."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def listed(paths: list[Path]) -> str:
    """Return the first few names for an error line."""
    names, more = [shown(path.name) for path in paths[:6]], len(paths) - 6
    return ", ".join(names) + (f" and {more} more" if more > 0 else "") or "nothing"
