"""What a data set is here: a list of tracks, each a mixture and its stems, in a split."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data_pipelines.songs.names import PARTS

#: "train" for the songs to learn from, "test" for those to score; a folder of stems may have others.
Split = str

#: The stems of DSD100 and MUSDB18, in their order.
STEMS = ("vocals", *PARTS)


@dataclass(frozen=True)
class TrackAudio:
    """The samples of one track: float32 arrays (samples N, channels C) in ±1, all of one shape."""

    sample_rate: int
    mixture_NC: np.ndarray
    stems_NC: dict[str, np.ndarray]
    is_sum: bool = False
    """Whether there was no mixture, which is the sum of the stems then."""

    @property
    def voice_NC(self) -> np.ndarray:
        """The target of the separation."""
        return self.stems_NC["vocals"]


class Track(Protocol):
    """One song. Cheap to hold: its audio is read or made by `read`."""

    @property
    def name(self) -> str:
        """Unique within the data set."""

    @property
    def split(self) -> Split:
        """Which songs train, which are scored."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def duration_s(self) -> float:
        """Seconds, known without reading the samples."""

    @property
    def channels(self) -> int | None:
        """None where that is not known without reading the samples."""

    @property
    def stems(self) -> tuple[str, ...]:
        """What `read` gives beside the mixture; "vocals" is always there."""

    def fingerprint(self) -> str:
        """A short text that changes whenever the audio does; part of cache keys. May raise as `read`."""

    def read(self) -> TrackAudio:
        """Return the samples. Raises InputError where a file cannot be used."""


def fingerprint_of(text: str, digits: int = 16) -> str:
    """Return hexadecimal digits that change when the text does."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]


def file_stamp(path: Path, name: object) -> str:
    """Return a name with the file's size and times of change (ns). Raises OSError where it is not there."""
    found = path.stat()
    return f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}"


_MAX_BYTES = 150
_HASH_DIGITS = 10
_ENDS_LIKE_A_HASH = re.compile(rf"-[0-9a-f]{{{_HASH_DIGITS}}}\Z")


def safe_name(name: str) -> str:
    """Return a file name for a track's name: no separators, no leading dots, not empty, at most 150 bytes.

    A name that is fit already stays as it is. Any other one has its unfit characters replaced and ends in a
    short hash of the whole name, so that two names share a file name only where their hashes collide. (Names
    that end like such a hash count as unfit too, so apply this once.)
    """
    fit = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in name)
    fit = fit.lstrip(". ").rstrip(". ")
    fit = fit.encode()[:_MAX_BYTES].decode(errors="ignore")
    if fit == name and fit and not _ENDS_LIKE_A_HASH.search(fit):
        return fit
    mark = "-" + fingerprint_of(name, _HASH_DIGITS)
    return fit.encode()[: _MAX_BYTES - len(mark)].decode(errors="ignore").rstrip(". ") + mark
