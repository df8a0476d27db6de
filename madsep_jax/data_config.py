"""What of the songs is trained on, and what is done to it on the way."""

import math
from dataclasses import dataclass
from typing import Literal

from madsep_jax.require import require


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Form of the training data, its ends, and its augmentation. By default the songs are taken as they are.

    What is drawn at random is a pure function of the training's seed, the epoch, and the place in the epoch.
    """

    features: Literal["spectrogram", "waveform"] = "spectrogram"
    """`spectrogram`: magnitudes, computed beforehand. `waveform`: samples; the step computes the magnitudes."""
    last_batch: Literal["drop", "pad"] = "drop"
    """What becomes of an epoch's sequences that do not fill a batch: `drop` leaves them out of this epoch, `pad` fills
    the batch with silence."""
    gain_db: float = 0.0
    """Voice and accompaniment are each made louder or softer by up to so many dB (uniform in dB)."""
    channel_swap: float = 0.0
    """Probability that the channels of the voice, and of the accompaniment, are swapped, each by itself. The average of
    the channels, which all models here take, stays the same: it is for models of stereo."""
    remix: float = 0.0
    """Probability that the accompaniment is replaced by that of a sequence of another song."""
    silent_share: float = 1.0
    """Share of the sequences without voice that an epoch takes, drawn anew for each epoch."""

    def __post_init__(self) -> None:
        require(self.features in ("spectrogram", "waveform"), self, "features", "'spectrogram' or 'waveform'")
        require(self.last_batch in ("drop", "pad"), self, "last_batch", "'drop' or 'pad'")
        require(0 <= self.gain_db < math.inf, self, "gain_db", "0 or more dB")
        for name in ("channel_swap", "remix"):
            require(0 <= getattr(self, name) <= 1, self, name, "a probability, 0 to 1")
        require(0 <= self.silent_share <= 1, self, "silent_share", "a share, 0 to 1")
        mixes = [name for name in ("gain_db", "channel_swap", "remix") if getattr(self, name)]
        if mixes:
            require(self.features == "waveform", self, "features", f"'waveform', which {mixes[0]} needs")

    @property
    def mixes_anew(self) -> bool:
        """Whether mixtures are made from voice and accompaniment, in place of taking the songs' own."""
        return bool(self.gain_db or self.channel_swap or self.remix)
