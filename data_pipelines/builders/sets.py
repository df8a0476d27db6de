"""The data sets as TFDS builders: DSD100, MUSDB18 in both forms, one's own songs, the embedded corpus."""

from pathlib import Path

from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.embedded.songs import corpus
from data_pipelines.songs.found import FoundSongs
from data_pipelines.songs.layouts import find_songs, find_stem_files, find_stem_folders


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
    find_in = staticmethod(find_songs)


class Embedded(SongBuilder):
    """Songs made from a seed, at the rate that the features need."""

    DESCRIPTION = "Songs made from a seed, as training sequences of mixture and voice."
    LICENSE = "Apache-2.0, as the program that makes them."

    def find_songs(self, manual_dir: Path | None) -> FoundSongs:
        """Return the songs."""
        return FoundSongs(corpus(self.settings.signal.sample_rate))


def citation(key: str, title: str, doi: str, year: int) -> str:
    """Return a BibTeX entry."""
    authors = (
        'Rafii, Zafar and Liutkus, Antoine and St{\\"o}ter, Fabian-Robert and Mimilakis, Stylianos Ioannis '
        "and Bittner, Rachel"
    )
    fields = {"author": authors, "title": title, "year": str(year), "doi": doi, "url": f"https://doi.org/{doi}"}
    return f"@misc{{{key},\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items()) + "\n}"


class Musdb18(SongBuilder):
    """150 songs as `.stem.mp4` files: 100 to train on, 50 to score."""

    name = "musdb18"
    DESCRIPTION = "MUSDB18, 150 songs with their stems (AAC), as training sequences of mixture and voice."
    HOMEPAGE = "https://sigsep.github.io/datasets/musdb.html"
    LICENSE = (
        "For education only, non-commercial. 100 songs are from 'The Mixing Secrets Free Multitrack Download Library' "
        "(DSD100), 46 from MedleyDB (CC BY-NC-SA 4.0), 2 by Native Instruments, 2 by The Easton Ellises (CC BY-NC-SA "
        "3.0)."
    )
    CITATION = citation("MUSDB18", "The {MUSDB18} corpus for music separation", "10.5281/zenodo.1117372", 2017)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Request and download musdb18.zip (4.7 GB) at https://zenodo.org/records/1117372 and unpack it. --manual-dir is the
folder that then has the folders train and test with the .stem.mp4 files."""
    find_in = staticmethod(find_stem_files)


class Musdb18Hq(Musdb18):
    """150 songs as wav files: 100 to train on, 50 to score."""

    name = "musdb18hq"
    DESCRIPTION = "MUSDB18-HQ, 150 songs with their stems, as training sequences of mixture and voice."
    CITATION = citation(
        "MUSDB18HQ", "{MUSDB18-HQ} - an uncompressed version of {MUSDB18}", "10.5281/zenodo.3338373", 2019
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Request and download musdb18hq.zip (23 GB) at https://zenodo.org/records/3338373 and unpack it. --manual-dir is the
folder that then has the folders train and test with a folder for each song."""
    find_in = staticmethod(find_songs)


class StemsFolder(SongBuilder):
    """Songs of any origin, a folder each."""

    DESCRIPTION = "Songs with their stems, from a folder, as training sequences of mixture and voice."
    LICENSE = "That of the songs."
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
--manual-dir is a folder with a folder for each split (train, and others by any name), in it one for each song, in that
a sound file for each stem. There must be vocals, and a mixture (or mix), an accompaniment (or instrumental, no_vocals)
or other stems by any name. Without a mixture it is the sum of the others."""
    find_in = staticmethod(find_stem_folders)
