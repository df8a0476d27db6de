"""What gives the estimates of a song: files, or a trained separator."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from data_pipelines.tracks import STEMS, Track, TrackAudio
from experiments.evaluation.estimate_files import EstimateFolder
from experiments.evaluation.options import EvaluateOptions, TargetSet
from experiments.score_row import checkpoint_estimator
from experiments.scoring.song_scores import TARGETS
from experiments.separate_command import find_checkpoint
from madsep_jax.errors import InputError


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
        self._estimate: Callable[[TrackAudio], tuple[np.ndarray, np.ndarray]] | None = None

    def check(self, track: Track) -> None:
        """Do nothing: it separates any song."""

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when the checkpoint does."""
        digest = hashlib.sha256()
        for path in sorted(self._checkpoint.rglob("*")):
            if path.is_file():
                found = path.stat()
                digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
        return digest.hexdigest()[:16]

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Separate the song."""
        if self._estimate is None:
            self._estimate, _ = checkpoint_estimator(self._checkpoint)
        return dict(zip(TARGETS, self._estimate(audio), strict=True))


def references_of(audio: TrackAudio, targets: TargetSet) -> dict[str, np.ndarray]:
    """Return the true sources of a song (N, C), in float64, by target."""
    if targets == "stems":
        return {stem: audio.stems_NC[stem].astype(np.float64) for stem in STEMS}
    voice_NC = audio.voice_NC.astype(np.float64)
    return {"vocals": voice_NC, "accompaniment": audio.mixture_NC - voice_NC}


def find_separators(options: EvaluateOptions, say: Callable[[str], None]) -> dict[str, Separator]:
    """Return the systems by their names.

    Raises:
        InputError: a folder is not there, two systems have one name, or a checkpoint is to give stems.
    """
    if options.checkpoint and options.targets == "stems":
        raise InputError("--targets stems: found with --checkpoint, which separates voice and accompaniment alone")
    targets = STEMS if options.targets == "stems" else TARGETS
    found: dict[str, Separator] = {}
    for name, folder in _named(options.estimates):
        _add(found, name, EstimateFolder(folder, targets, say))
    for name, folder in _named(options.checkpoint):
        _add(found, name, CheckpointSeparator(folder))
    return found


def _named(arguments: Sequence[str]) -> list[tuple[str, Path]]:
    named = []
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        path = Path(folder) if equals else Path(argument)
        named.append((name if equals else path.resolve().name, path))
    return named


def _add(found: dict[str, Separator], name: str, separator: Separator) -> None:
    if not name.strip(". ") or "/" in name:
        raise InputError(f"system {name!r}: expected a name that can name a folder (NAME=FOLDER)")
    if name in found:
        raise InputError(f"system {name!r}: found twice, expected names that differ (NAME=FOLDER)")
    found[name] = separator
