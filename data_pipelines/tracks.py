"""What a data set is here: a list of tracks, each a mixture and its stems, in a split."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: "train" for the songs to learn from, "test" for those to score; a folder of stems may have others.
Split = str

#: The stems that every track has, in the order of DSD100 and MUSDB18.
STEMS = ("vocals", "drums", "bass", "other")


@dataclass(frozen=True)
class TrackAudio:
    """The samples of one track: float32 arrays (samples N, channels C) in ±1, all of one shape."""

    sample_rate: int
    mixture_NC: np.ndarray
    stems_NC: dict[str, np.ndarray]

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

    def fingerprint(self) -> str:
        """A short text that changes whenever the audio does; part of cache keys."""

    def read(self) -> TrackAudio:
        """Return the samples. Raises InputError where a file cannot be used."""
