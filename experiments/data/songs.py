"""The songs of an experiment: the embedded corpus, or a folder."""

from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.embedded.songs import EmbeddedConfig, corpus, embedded_tracks
from data_pipelines.songs.layouts import find_tracks
from data_pipelines.songs.tracks import Track, fingerprint_of
from experiments.data.options import EMBEDDED
from experiments.data.prepared import PreparedTraining
from madsep_jax.errors import InputError


@dataclass(frozen=True)
class Songs:
    """Which songs train and which are scored."""

    description: str
    train: list[Track]
    test: list[Track]
    prepared: PreparedTraining | None = None
    """Trained on in place of `train`."""
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
        lines += [self.prepared.fingerprint()] if self.prepared else []
        return fingerprint_of("\n".join(lines))


def songs_to_score(data: str, split: str) -> list[Track]:
    """Return the songs of one split, of what `load_songs` takes. Raises InputError where there are none."""
    if data == EMBEDDED:
        tracks: list[Track] = list(embedded_tracks(EmbeddedConfig()))
    else:
        tracks = find_tracks(Path(data))
    tracks = [track for track in tracks if track.split == split]
    if not tracks:
        raise InputError(f"--data {data}: found no {split} songs, expected at least one")
    return tracks


def load_songs(
    data: str, sample_rate: int, trained_on: PreparedTraining | None = None, validation_songs: int = 0
) -> Songs:
    """Find the songs: `embedded`, made at the rate in Hz that the models need, or a folder in a known layout.

    Only songs to score are looked for where a prepared set is trained on. Of the training songs so many, the last ones
    by name, are kept for validation. Raises InputError where the folder or the set cannot be used, or has no songs to
    train on or to score, or where a song would be both trained on and scored.
    """
    if data == EMBEDDED:
        tracks: list[Track] = list(corpus(sample_rate))
        place = "the embedded corpus"
    else:
        tracks = find_tracks(Path(data))
        place = Path(data).resolve().name
    train = [track for track in tracks if track.split == "train"]
    test = [track for track in tracks if track.split == "test"]
    for split, found in (("training", train), ("test", test)):
        if not found and not (trained_on and split == "training"):
            raise InputError(f"{data}: found no {split} songs, expected at least one")
    if validation_songs >= len(train) + bool(trained_on):
        raise InputError(f"--validation-songs {validation_songs}: found {len(train)} training songs, expected more")
    train, validation = train[: len(train) - validation_songs], train[len(train) - validation_songs :]
    kept = f"; {len(validation)} validation songs" if validation else ""
    if trained_on:
        trained_on.require_others([track.name for track in test + validation])
        description = f"{trained_on.description}; scored on {place} ({_words(test, 'test')}{kept})"
        return Songs(description, [], test, trained_on, validation)
    description = f"{place} ({_words(train, 'training')}{kept}; {_words(test, 'test')})"
    return Songs(description, train, test, validation=validation)


def _words(tracks: list[Track], kind: str) -> str:
    return f"{len(tracks)} {kind} songs, {sum(track.duration_s for track in tracks) / 60:.1f} min"
