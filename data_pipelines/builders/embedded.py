"""The embedded corpus as a TFDS data set."""

from pathlib import Path

from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.embedded.corpus import corpus
from data_pipelines.tracks import Track


class Embedded(SongBuilder):
    """Songs made from a seed, at the rate that the features need."""

    DESCRIPTION = "Songs made from a seed, as training sequences of mixture and voice."
    LICENSE = "Apache-2.0, as the program that makes them."

    def find_tracks(self, manual_dir: Path | None) -> list[Track]:
        """Return the songs."""
        return [*corpus(self.settings.signal.sample_rate)]
