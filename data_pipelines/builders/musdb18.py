"""MUSDB18 as a TFDS data set."""

from pathlib import Path

from data_pipelines.builders.musdb18_papers import LICENSE, citation
from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.stem_files import find_stem_files
from data_pipelines.tracks import Track


class Musdb18(SongBuilder):
    """150 songs as `.stem.mp4` files: 100 to train on, 50 to score."""

    name = "musdb18"
    DESCRIPTION = "MUSDB18, 150 songs with their stems (AAC), as training sequences of mixture and voice."
    HOMEPAGE = "https://sigsep.github.io/datasets/musdb.html"
    LICENSE = LICENSE
    CITATION = citation("MUSDB18", "The {MUSDB18} corpus for music separation", "10.5281/zenodo.1117372", 2017)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Request and download musdb18.zip (4.7 GB) at https://zenodo.org/records/1117372 and unpack it. --manual-dir is the
folder that then has the folders train and test with the .stem.mp4 files."""

    def find_tracks(self, manual_dir: Path | None) -> list[Track]:
        """Return the songs."""
        assert manual_dir is not None
        return find_stem_files(manual_dir)
