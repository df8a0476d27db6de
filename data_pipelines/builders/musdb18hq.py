"""MUSDB18-HQ as a TFDS data set."""

from pathlib import Path

from data_pipelines.builders.musdb18_papers import LICENSE, citation
from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.layouts import find_tracks
from data_pipelines.tracks import Track


class Musdb18Hq(SongBuilder):
    """150 songs as wav files: 100 to train on, 50 to score."""

    name = "musdb18hq"
    DESCRIPTION = "MUSDB18-HQ, 150 songs with their stems, as training sequences of mixture and voice."
    HOMEPAGE = "https://sigsep.github.io/datasets/musdb.html"
    LICENSE = LICENSE
    CITATION = citation(
        "MUSDB18HQ", "{MUSDB18-HQ} - an uncompressed version of {MUSDB18}", "10.5281/zenodo.3338373", 2019
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Request and download musdb18hq.zip (23 GB) at https://zenodo.org/records/3338373 and unpack it. --manual-dir is the
folder that then has the folders train and test with a folder for each song."""

    def find_tracks(self, manual_dir: Path | None) -> list[Track]:
        """Return the songs."""
        assert manual_dir is not None
        return find_tracks(manual_dir)
