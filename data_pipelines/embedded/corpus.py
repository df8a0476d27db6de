"""The embedded songs that the experiments use."""

from data_pipelines.embedded.config import EmbeddedConfig
from data_pipelines.embedded.songs import EmbeddedTrack, embedded_tracks

_TRAIN_SONGS = 32


def corpus(sample_rate: int) -> list[EmbeddedTrack]:
    """Return the songs at a rate in Hz, those to train on first."""
    return embedded_tracks(EmbeddedConfig(sample_rate=sample_rate, train_songs=_TRAIN_SONGS))
