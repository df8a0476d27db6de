"""Songs in single files: MUSDB18's `.stem.mp4`, five AAC streams each.

{train,test}/<track>.stem.mp4
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.songs.tracks import STEMS, Split, Track, TrackAudio
from madsep_jax.audio.mp4 import decode_streams, probe_streams
from madsep_jax.errors import InputError, shown

SUFFIX = ".stem.mp4"

#: The order of the streams in a file.
_STREAMS = ("mixture", "drums", "bass", "other", "vocals")

#: MUSDB18's folders, each of a split of that name.
MUSDB18_SPLITS = ("train", "test")


@dataclass(frozen=True)
class StemFileTrack:
    """A song in one file; `frames` are about its samples, at a rate in Hz."""

    name: str
    split: Split
    sample_rate: int
    frames: int
    path: Path

    @property
    def duration_s(self) -> float:
        """Seconds, right to a hundredth."""
        return self.frames / self.sample_rate

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the file's name, size and time of change (ns).

        Raises:
            InputError: the file has gone.
        """
        try:
            found = self.path.stat()
        except OSError as e:
            raise InputError(f"{shown(self.path)}: {e.strerror}, expected the file that was there before") from e
        text = f"{self.path.name}\0{found.st_size}\0{found.st_mtime_ns}"
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]

    def read(self) -> TrackAudio:
        """Return the samples, as long as the shortest stream.

        Raises:
            InputError: the file cannot be decoded, is silent of length, or its streams differ in their channels.
        """
        sample_rate, arrays_NC = decode_streams(self.path, len(_STREAMS))
        length = min(len(samples_NC) for samples_NC in arrays_NC)
        channels = sorted({samples_NC.shape[1] for samples_NC in arrays_NC})
        if not length:
            raise InputError(f"{shown(self.path)}: 0 samples, expected at least one")
        if len(channels) > 1:
            raise InputError(f"{shown(self.path)}: streams of {channels[0]} and of {channels[1]} channels")
        streams_NC = {name: samples_NC[:length] for name, samples_NC in zip(_STREAMS, arrays_NC, strict=True)}
        return TrackAudio(sample_rate, streams_NC["mixture"], {stem: streams_NC[stem] for stem in STEMS})


def find_stem_files(folder: str | os.PathLike[str]) -> list[Track]:
    """Return the tracks in a folder like MUSDB18's, sorted by name.

    Files that lie in the folder itself, where neither train/ nor test/ has any, are songs to train on.

    Raises:
        InputError: the folder is missing or has no such file, or one that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{shown(folder)}: no such folder, expected that of MUSDB18, with train and test")
    tracks = stem_file_tracks(folder) or [_track(path, "train") for path in _files(folder)]
    if not tracks:
        raise InputError(f"{shown(folder)}: no {SUFFIX} files, expected them in its folders train and test")
    return sorted(tracks, key=lambda track: (track.name, track.split))


def stem_file_tracks(folder: Path) -> list[StemFileTrack]:
    """Return the tracks in the folder's train/ and test/, none where there are no such files."""
    return [_track(path, split) for split in MUSDB18_SPLITS for path in _files(folder / split)]


def _files(folder: Path) -> list[Path]:
    found = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith("."))


def _track(path: Path, split: Split) -> StemFileTrack:
    sample_rate, frames = probe_streams(path, len(_STREAMS))
    return StemFileTrack(path.name.removesuffix(SUFFIX), split, sample_rate, frames, path)
