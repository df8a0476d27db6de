"""DSD100 as a TFDS data set."""

from pathlib import Path

from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.layouts import find_tracks
from data_pipelines.tracks import Track


class Dsd100(SongBuilder):
    """100 songs of the SiSEC 2016 campaign: 50 (Dev) to train on, 50 (Test) to score."""

    DESCRIPTION = "DSD100, 100 songs with their stems, as training sequences of mixture and voice."
    HOMEPAGE = "https://sigsep.github.io/datasets/dsd100.html"
    LICENSE = (
        "For research and education, non-commercial; each song has its own licence and is named in the set's "
        "dsd100.xlsx. Most are from 'The Mixing Secrets Free Multitrack Download Library' of Cambridge Music "
        "Technology."
    )
    CITATION = """\
@inproceedings{SiSEC16,
  author = {Liutkus, Antoine and St{\\"o}ter, Fabian-Robert and Rafii, Zafar and Kitamura, Daichi and Rivet, Bertrand
            and Ito, Nobutaka and Ono, Nobutaka and Fontecave, Julie},
  title = {The 2016 Signal Separation Evaluation Campaign},
  booktitle = {Latent Variable Analysis and Signal Separation: 13th International Conference, LVA/ICA 2017},
  pages = {323--332},
  year = {2017},
  publisher = {Springer}
}"""
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Download DSD100.zip (14 GB) from https://sigsep.github.io/datasets/dsd100.html and unpack it. --manual-dir is the folder
that then has the folders Mixtures and Sources, or the one above it."""

    def find_tracks(self, manual_dir: Path | None) -> list[Track]:
        """Return the songs."""
        assert manual_dir is not None
        return find_tracks(manual_dir)
