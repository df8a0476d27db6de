"""The songs of a prepared set, in place of those of a folder, to train on."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data_pipelines.order import TrainingOrder
from data_pipelines.prepared.check import check_set
from data_pipelines.prepared.index import SetIndex, find_set, read_index
from experiments.checked_sets import is_checked, mark_checked
from experiments.progress import Bar
from madsep_jax.config import RunConfig
from madsep_jax.config_io import differences
from madsep_jax.errors import InputError

_SPLIT = "train"


@dataclass(frozen=True)
class PreparedTraining:
    """The training songs of a prepared set."""

    folder: Path
    index: SetIndex

    @classmethod
    def find(cls, path: Path) -> "PreparedTraining":
        """Return the one set in a folder. Raises InputError where there is none with songs to train on."""
        folder = find_set(path)
        index = read_index(folder)
        if not index.split(_SPLIT):
            raise InputError(f"{folder}: found no songs of the split {_SPLIT!r}, expected at least one")
        return cls(folder, index)

    @property
    def description(self) -> str:
        """What is trained on, in words."""
        tracks, settings = self.index.split(_SPLIT), self.index.settings
        minutes = sum(track.seconds for track in tracks) / 60
        kind = f"{settings.features}s, {settings.dtype}"
        return f"{self.index.name} ({len(tracks)} training songs, {minutes:.1f} min; prepared {kind})"

    def fingerprint(self) -> str:
        """Return a text that changes when the set does."""
        return hashlib.sha256(json.dumps(self.index.content(), sort_keys=True).encode()).hexdigest()[:16]

    def order(self, config: RunConfig) -> TrainingOrder:
        """Return the order of a training on this set.

        Raises:
            InputError: where the set is of other signal settings or sequences than the training takes.
        """
        settings = self.index.settings
        for name, mine, wanted in (
            ("signal", settings.signal, config.signal),
            ("sequences", settings.sequences, config.sequences),
        ):
            for field, (found, expected) in differences(mine, wanted).items():
                raise InputError(
                    f"--prepared {self.folder}: prepared with {name}.{field}={found}, expected {expected}; prepare it "
                    f"with the settings of the training, or train with those of the set"
                )
        tracks = self.index.split(_SPLIT)
        return TrainingOrder.of_songs(
            [track.frames for track in tracks],
            config.sequences,
            config.training,
            config.data,
            [track.silent for track in tracks],
        )

    def check(self, console: Console) -> None:
        """Read every record once, so that a damaged one is found before hours of training and not after.

        A set that was found whole and has not changed since is not read again, but that all shards are there.

        Raises:
            InputError: naming the first shard that is missing, cut short or damaged.
        """
        tracks = self.index.split(_SPLIT)
        paths = self.index.shard_paths(self.folder, _SPLIT)
        known = is_checked(paths)
        with Bar(console, "checking the prepared set", len(tracks)) as bar:
            check_set(self.folder, self.index, _SPLIT, every_record=not known, on_track=bar.advance)
        mark_checked(paths)

    def require_others(self, test_names: list[str]) -> None:
        """Raise InputError where a song to train on is also one to score."""
        for track in self.index.split(_SPLIT):
            if track.name in test_names:
                raise InputError(f"--prepared {self.folder}: trains on {track.name!r}, which is a test song of --data")
