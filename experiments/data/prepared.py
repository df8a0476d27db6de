"""The songs of a prepared set, in place of those of a folder, and whether its files are whole."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.prepared.index import SetIndex, find_set, read_index
from data_pipelines.prepared.shard import check_shard
from experiments.cli.console import Bar
from madsep_jax.config.io import differences
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.files import user_cache, write_text

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
            for path, facts in zip(paths, tracks, strict=True):
                check_shard(path, facts, every_record=not known)
                bar.advance()
        mark_checked(paths)

    def require_others(self, test_names: list[str]) -> None:
        """Raise InputError where a song to train on is also one to score."""
        for track in self.index.split(_SPLIT):
            if track.name in test_names:
                raise InputError(f"--prepared {self.folder}: trains on {track.name!r}, which is a test song of --data")


def is_checked(paths: Sequence[Path]) -> bool:
    """Whether these files were found whole, and have the sizes and times of change that they had then."""
    mark = _mark(paths)
    return mark is not None and mark.is_file()


def mark_checked(paths: Sequence[Path]) -> None:
    """Remember that these files are whole. Where that cannot be kept they are read again the next time."""
    mark = _mark(paths)
    if mark is not None:
        with contextlib.suppress(OSError):
            write_text(mark, "")


def _mark(paths: Sequence[Path]) -> Path | None:
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            return None
        digest.update(f"{path.resolve()}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogatepass"))
    return user_cache() / "checked" / digest.hexdigest()[:32]
