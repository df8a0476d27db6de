"""What gives the estimates of a song: files as separators of all kinds leave them, or a trained separator."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.console import Console

from data_pipelines.songs.contents import content_of
from data_pipelines.songs.found import FoundSongs, fault_of
from data_pipelines.songs.tracks import STEMS, Track, TrackAudio, fingerprint_of
from experiments.cli.console import Bar, say
from experiments.evaluation.estimates import EstimateFolder
from experiments.evaluation.options import EvaluateOptions
from experiments.scoring.estimators import Estimator, checkpoint_estimator
from experiments.scoring.song_scores import TARGETS
from madsep_jax.checkpoint.folder import find_checkpoint, weights_of
from madsep_jax.config.training import Which
from madsep_jax.errors import InputError, shown


class Separator(Protocol):
    """One system that is scored."""

    def check(self, track: Track) -> None:
        """Raise InputError where it can be seen at once that a song cannot be scored."""

    def unused(self, tracks: Sequence[Track]) -> list[str]:
        """Return lines about what is there and not used."""

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when the estimates of a song do."""

    def taken(self, track: Track) -> dict[str, str]:
        """Return in words what the estimate of each target is."""

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Return the estimates (N, C) of a song by target."""


class CheckpointSeparator:
    """A trained model, which is loaded when the first song is to be separated."""

    def __init__(self, checkpoint: Path, which: Which | None = None) -> None:
        """Take the weights as `load_model` does. Raises InputError where there is no checkpoint."""
        self._checkpoint = find_checkpoint(checkpoint)
        self._weights = weights_of(self._checkpoint, which)
        self._estimate: Estimator | None = None

    def check(self, track: Track) -> None:
        """Do nothing: it separates any song."""

    def unused(self, tracks: Sequence[Track]) -> list[str]:
        """Return nothing."""
        return []

    def fingerprint(self, track: Track) -> str:
        """Return a text that changes when the checkpoint does."""
        paths = [path for path in sorted(self._checkpoint.rglob("*")) if path.is_file()]
        names = [path.relative_to(self._checkpoint).as_posix() for path in paths]
        return fingerprint_of("\0".join([*map(str, self._weights), *names, content_of(paths)]))

    def taken(self, track: Track) -> dict[str, str]:
        """Return which weights have made the estimates."""
        return dict.fromkeys(TARGETS, str(self._weights))

    def read(self, track: Track, audio: TrackAudio) -> dict[str, np.ndarray]:
        """Separate the song."""
        if self._estimate is None:
            self._estimate, _ = checkpoint_estimator(self._checkpoint, self._weights.which)
        return dict(zip(TARGETS, self._estimate(audio), strict=True))


def find_separators(
    options: EvaluateOptions, songs: FoundSongs, on_length: Callable[[str], None]
) -> dict[str, Separator]:
    """Return the systems by their names; the songs are all those of the data set's split.

    `on_length` is told of files of another length than their song's.

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
        place = Path(folder)
        separator: Separator
        if is_checkpoint:
            separator = CheckpointSeparator(place, options.which)
        else:
            separator = EstimateFolder(place, targets, songs.names, on_length, options.estimate_name, songs.elsewhere)
        if not name.strip(". ") or "/" in name:
            raise InputError(f"system {name!r}: expected a name that can name a folder (NAME=FOLDER)")
        if name in found:
            raise InputError(f"system {name!r}: found twice, expected names that differ (NAME=FOLDER)")
        found[name] = separator
    return found


def check_estimates(
    found: FoundSongs, separators: Mapping[str, Separator], options: EvaluateOptions, console: Console
) -> FoundSongs:
    """Return the songs, each of whose estimates are read once, now or before; those that cannot be scored are bad.

    What is not used of the songs that are left is said.
    """

    def faults(track: Track) -> str:
        missing = [stem for stem in STEMS if stem not in track.stems] if options.targets == "stems" else []
        if missing:
            has = ", ".join(track.stems)
            return f"{shown(track.name)}: found {has}, expected {', '.join(missing)} (--targets stems)"
        checks = [functools.partial(separator.check, track) for separator in separators.values()]
        return "; ".join(filter(None, map(fault_of, checks)))

    with Bar(console, "checking the estimates", len(found.tracks)) as bar:
        found = found.checked(faults, options.processes, bar.advance)
    for separator in separators.values():
        for line in separator.unused(found.tracks):
            say(console, line)
    return found
