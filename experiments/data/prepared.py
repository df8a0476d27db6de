"""A prepared set: its songs in place of those of a folder, whether its files are whole, and its summary as a table."""

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data_pipelines.batches.order import TrainingOrder
from data_pipelines.prepared.index import SetIndex, by_split, find_set, read_index
from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.shard import check_shard
from data_pipelines.songs.names import composed
from data_pipelines.songs.tracks import Track, file_stamp, fingerprint_of
from experiments.cli.console import Bar
from experiments.cli.terminal import FittedTable
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
        bad = f"; {_left_out(self.index)}" if self.index.left_out else ""
        return f"{self.index.name} ({len(tracks)} training songs, {minutes:.1f} min; prepared {kind}{bad})"

    def fingerprint(self) -> str:
        """Return a text that changes when the set does."""
        return fingerprint_of(json.dumps(self.index.content(), sort_keys=True))

    def order(self, config: RunConfig) -> TrainingOrder:
        """Return the order of a training on this set. Raises InputError for other signals or sequences."""
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

        A set that was found whole and has not changed since is not read again, but that all shards are there. Raises
        InputError, naming the first shard that is missing, cut short or damaged.
        """
        tracks = self.index.split(_SPLIT)
        paths = self.index.shard_paths(self.folder, _SPLIT)
        mark = _mark(paths)
        known = mark is not None and mark.is_file()
        with Bar(console, "checking the prepared set", len(tracks)) as bar:
            for path, facts in zip(paths, tracks, strict=True):
                check_shard(path, facts, every_record=not known)
                bar.advance()
        if mark is not None:
            with contextlib.suppress(OSError):  # the files are read again the next time
                write_text(mark, "")

    def require_others(self, tracks: Sequence[Track], *, by_content: bool) -> None:
        """Raise InputError where a song to train on is also one to score, by its name or its content."""
        names = {track.name for track in tracks}
        contents = {track.fingerprint() for track in tracks} if by_content else set()
        for track in self.index.split(_SPLIT):
            if composed(track.name) in names or track.fingerprint in contents:
                raise InputError(f"--prepared {self.folder}: trains on {track.name!r}, which is a test song of --data")


def _mark(paths: Sequence[Path]) -> Path | None:
    """Return the file that is there where these were found whole, of the sizes and times of change that they have."""
    try:
        stamps = "".join(f"{file_stamp(path, path.resolve())}\0" for path in paths)
    except OSError:
        return None
    return user_cache() / "checked" / fingerprint_of(stamps, 32)


def summary(index: SetIndex, folder: Path) -> FittedTable:
    """Return what a preparation says of a set: a table with a row for each split."""
    caption = (
        "Silent: sequences whose voice is below -60 dB of full scale. Clipped: samples of mixtures at full scale. "
        f"Stems against mixture: {_sums(index)}."
    )
    if index.left_out:
        caption += f" {_left_out(index)}."
    splits = by_split(index.tracks)
    lines = [[split, *_cells(tracks, index.shard_paths(folder, split))] for split, tracks in splits.items()]
    if len(splits) > 1:
        paths = [path for split in splits for path in index.shard_paths(folder, split)]
        lines.append(["all", *_cells(index.tracks, paths)])
    titles = ("split", "tracks", "hours", "frames", "sequences", "silent (%)", "clipped", "GB")
    return FittedTable.of_lines(titles, lines, caption)


def _left_out(index: SetIndex) -> str:
    return f"{len(index.left_out)} songs left out as bad: {'; '.join(index.left_out)}"


def _sums(index: SetIndex) -> str:
    """Return in words how well the stems of songs with a mixture, and with stems beside the voice, add up to it."""
    errors = [(track.sum_error, number) for number, track in enumerate(index.tracks) if track.sum_error is not None]
    if not errors:
        return "nothing to compare, as no song has both a mixture and its parts"
    others = len(index.tracks) - len(errors)
    apart = f"{others} songs, which lack a mixture or parts, cannot be compared; of the others " if others else ""
    error, number = max(errors)
    worst = index.tracks[number]
    if not error:
        return f"{apart}all add up exactly"
    level = f"a difference {-10 * math.log10(error):.0f} dB below the mixture"
    where = f"{worst.sum_error_peak * 2**15:.0f} steps of 16 bits at {worst.sum_error_s:.2f} s"
    return f"{apart}the worst is {worst.name} ({worst.split}), {level}, the largest {where}"


def _cells(tracks: Sequence[TrackFacts], paths: Sequence[Path]) -> list[str]:
    records = sum(track.records for track in tracks)
    return [
        f"{len(tracks):,}",
        f"{sum(track.seconds for track in tracks) / 3600:.2f}",
        f"{sum(track.frames for track in tracks):,}",
        f"{records:,}",
        f"{100 * sum(len(track.silent) for track in tracks) / records:.1f}",
        f"{sum(track.clipped for track in tracks):,}",
        f"{sum(path.stat().st_size for path in paths) / 1e9:.2f}",
    ]
