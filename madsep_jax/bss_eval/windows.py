"""Where the windows of a song are."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Windows:
    """Windows of `length` samples, `hop` samples apart, `count` of them; the last one ends within the song."""

    length: int
    hop: int
    count: int

    @classmethod
    def of_song(cls, samples: int, window: float, hop: float) -> "Windows":
        """Return museval's windows: a rest shorter than a window is not scored, a song of at most a window is one.

        Args:
            samples: of the song.
            window: samples; math.inf for the whole song.
            hop: samples; of no effect where there is one window.

        Raises:
            ValueError: a window or hop of less than a sample, or, where there are several, of a part of one.
        """
        if not (window >= 1 and hop >= 1):
            raise ValueError(f"window of {window} and hop of {hop} samples: expected one or more of each")
        if window >= samples:
            return cls(samples, samples, 1)
        if int(window) != window or (math.isfinite(hop) and int(hop) != hop):
            raise ValueError(f"window of {window} and hop of {hop} samples: expected whole numbers")
        if math.isinf(hop):
            return cls(int(window), samples, 1)
        return cls(int(window), int(hop), (samples - int(window)) // int(hop) + 1)

    def starts(self) -> range:
        """Return the first sample of each window."""
        return range(0, self.count * self.hop, self.hop)
