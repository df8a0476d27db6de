"""What gives the estimates of a song: files as separators of all kinds leave them, or a trained separator."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from data_pipelines.songs.tracks import STEMS, Track, TrackAudio, file_stamp, fingerprint_of, safe_name
from experiments.evaluation.options import EvaluateOptions
from experiments.scoring.estimators import Estimator, checkpoint_estimator
from experiments.scoring.song_scores import TARGETS
from madsep_jax.audio import probe_audio, read_audio
from madsep_jax.checkpoint.folder import find_checkpoint
from madsep_jax.errors import InputError, shown


class Separator(Protocol):
    """One system that is scored."""

    def check(self, track: Track) -> None:
        """Raise InputError where it can be seen at once that a song cannot be scored."""

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when the estimates of a song do."""

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Return the estimates (N, C) of a song by target."""


class CheckpointSeparator:
    """A trained model, which is loaded when the first song is to be separated."""

    def __init__(self, checkpoint: Path) -> None:
        """Raise InputError where there is no checkpoint."""
        self._checkpoint = find_checkpoint(checkpoint)
        self._estimate: Estimator | None = None

    def check(self, track: Track) -> None:
        """Do nothing: it separates any song."""

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when the checkpoint does."""
        paths = [path for path in sorted(self._checkpoint.rglob("*")) if path.is_file()]
        return fingerprint_of("".join(f"{file_stamp(path, path)}\0" for path in paths))

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Separate the song."""
        if self._estimate is None:
            self._estimate, _ = checkpoint_estimator(self._checkpoint)
        return dict(zip(TARGETS, self._estimate(audio), strict=True))


def find_separators(options: EvaluateOptions, say: Callable[[str], None]) -> dict[str, Separator]:
    """Return the systems by their names.

    Raises InputError where a folder is not there, two systems have one name, or a checkpoint is to give stems.
    """
    if options.checkpoint and options.targets == "stems":
        raise InputError("--targets stems: found with --checkpoint, which separates voice and accompaniment alone")
    targets = STEMS if options.targets == "stems" else TARGETS
    found: dict[str, Separator] = {}
    given = [(argument, False) for argument in options.estimates]
    given += [(argument, True) for argument in options.checkpoint]
    for argument, is_checkpoint in given:
        name, equals, folder = argument.partition("=")
        if not equals:
            name, folder = Path(argument).resolve().name, argument
        separator = CheckpointSeparator(Path(folder)) if is_checkpoint else EstimateFolder(Path(folder), targets, say)
        if not name.strip(". ") or "/" in name:
            raise InputError(f"system {name!r}: expected a name that can name a folder (NAME=FOLDER)")
        if name in found:
            raise InputError(f"system {name!r}: found twice, expected names that differ (NAME=FOLDER)")
        found[name] = separator
    return found


_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a")

#: Folders within the given one that may hold the songs.
_INNER = (".", "test", "Test", "train", "Dev")
_ACCOMPANIMENT = ("accompaniment", "no_vocals")
_REST = ("drums", "bass", "other")


class EstimateFolder:
    """The files of one system."""

    def __init__(self, folder: Path, targets: Sequence[str], on_length: Callable[[str], None]) -> None:
        """Look at nothing yet but whether the folder is there; `on_length` is told of files of another length."""
        if not folder.is_dir():
            raise InputError(f"{shown(folder)}: no such folder, expected one of separated songs")
        self.folder, self.targets, self._on_length = folder, tuple(targets), on_length

    def files(self, track: Track) -> dict[str, list[Path]]:
        """Return the files whose sum is each target; none for what is mixture - vocals.

        Raises InputError where the song, or a target of it, is not there.
        """
        folder = self._song_folder(track)
        found: dict[str, list[Path]] = {}
        for target in self.targets:
            path = _sound_file(folder, target)
            if path:
                found[target] = [path]
            elif target == "accompaniment":
                found[target] = _accompaniment(folder)
            else:
                inside = ", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "nothing"
                raise InputError(
                    f"{shown(folder)}: found {inside}, expected {target}{_SUFFIXES[0]} (or {', '.join(_SUFFIXES[1:])})"
                )
        return found

    def check(self, track: Track) -> None:
        """Raise InputError where a file of a song is missing, is no audio, or is of another rate than the song."""
        for paths in self.files(track).values():
            for path in paths:
                _require_rate(path, probe_audio(path).sample_rate, track.sample_rate)

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when a file of the song does."""
        files = [(target, path) for target, paths in self.files(track).items() for path in paths]
        return fingerprint_of("".join(f"{target}\0{file_stamp(path, path)}\0" for target, path in files))

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

    def _song_folder(self, track: Track) -> Path:
        names = dict.fromkeys((track.name, safe_name(track.name)))
        for path in (self.folder / inner / name for inner in _INNER for name in names):
            if path.is_dir():
                return path
        raise InputError(f"{shown(self.folder / track.name)}: no such folder, expected the separated song")

    def _read(self, path: Path, audio: TrackAudio) -> np.ndarray:
        found = read_audio(path)
        samples, channels = audio.mixture_NC.shape
        _require_rate(path, found.sample_rate, audio.sample_rate)
        if found.samples_NC.shape[1] != channels:
            raise InputError(
                f"{shown(path)}: found {found.samples_NC.shape[1]} channels, expected {channels}, the song's"
            )
        if more := len(found.samples_NC) - samples:
            what = "longer than the song: cut" if more > 0 else "shorter than the song: silence added"
            self._on_length(f"{shown(path)}: {abs(more)} samples {what}")
        return np.pad(found.samples_NC[:samples].astype(np.float64), ((0, max(-more, 0)), (0, 0)))


def _require_rate(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise InputError(f"{shown(path)}: found {found} Hz, expected {expected} Hz, the song's")


def _accompaniment(folder: Path) -> list[Path]:
    for name in _ACCOMPANIMENT:
        if path := _sound_file(folder, name):
            return [path]
    rest = [path for name in _REST if (path := _sound_file(folder, name))]
    return rest if len(rest) == len(_REST) else []


def _sound_file(folder: Path, name: str) -> Path | None:
    return next((path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").exists()), None)
