"""The songs of an experiment: the embedded corpus, or a folder."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.embedded import EmbeddedConfig, embedded_tracks
from data_pipelines.layouts import find_tracks
from data_pipelines.tracks import Track
from madsep_jax.errors import InputError

EMBEDDED = "embedded"
_EMBEDDED_TRAIN_SONGS = 32


@dataclass(frozen=True)
class Songs:
    """Which songs train and which are scored."""

    description: str
    train: list[Track]
    test: list[Track]
    validation: list[Track] = field(default_factory=list)
    """Scored during training, in place of being trained on."""

    @property
    def test_seconds(self) -> float:
        """Length of all songs that are scored."""
        return sum(track.duration_s for track in self.test)

    def fingerprint(self) -> str:
        """A text that changes when any song does."""
        lines = [f"{track.split}/{track.name}/{track.fingerprint()}" for track in self.train + self.test]
        lines += [f"validation/{track.name}/{track.fingerprint()}" for track in self.validation]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_songs(data: str, sample_rate: int, validation_songs: int = 0) -> Songs:
    """Find the songs: `embedded`, made at the rate that the models need, or a folder in a known layout.

    Args:
        data: as above.
        sample_rate: Hz, of the embedded songs.
        validation_songs: so many of the training songs, the last ones by name, are kept for validation.

    Raises:
        InputError: where the folder cannot be used, or has no songs to train on or to score.
    """
    if data == EMBEDDED:
        config = EmbeddedConfig(sample_rate=sample_rate, train_songs=_EMBEDDED_TRAIN_SONGS)
        tracks: list[Track] = list(embedded_tracks(config))
        place = "the embedded corpus"
    else:
        tracks = find_tracks(Path(data))
        place = Path(data).resolve().name
    train = [track for track in tracks if track.split == "train"]
    test = [track for track in tracks if track.split == "test"]
    for split, found in (("training", train), ("test", test)):
        if not found:
            raise InputError(f"{data}: found no {split} songs, expected at least one")
    if validation_songs >= len(train):
        raise InputError(f"--validation-songs {validation_songs}: found {len(train)} training songs, expected more")
    train, validation = train[: len(train) - validation_songs], train[len(train) - validation_songs :]
    minutes = [sum(track.duration_s for track in part) / 60 for part in (train, test)]
    kept = f"; {len(validation)} validation songs" if validation else ""
    description = (
        f"{place} ({len(train)} training songs, {minutes[0]:.1f} min{kept}; "
        f"{len(test)} test songs, {minutes[1]:.1f} min)"
    )
    return Songs(description, train, test, validation)
