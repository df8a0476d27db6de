"""One's own songs as a TFDS data set."""

from pathlib import Path

from data_pipelines.builders.song_builder import SongBuilder
from data_pipelines.stem_folders import find_stem_folders
from data_pipelines.tracks import Track


class StemsFolder(SongBuilder):
    """Songs of any origin, a folder each."""

    DESCRIPTION = "Songs with their stems, from a folder, as training sequences of mixture and voice."
    LICENSE = "That of the songs."
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
--manual-dir is a folder with a folder for each split (train, and others by any name), in it one for each song, in that
a wav or flac file for each stem. There must be vocals, and other stems by any name. A file mixture is taken where there
is one; else the mixture is the sum of the stems."""

    def find_tracks(self, manual_dir: Path | None) -> list[Track]:
        """Return the songs."""
        assert manual_dir is not None
        return find_stem_folders(manual_dir)
