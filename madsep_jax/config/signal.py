"""From songs to what a model reads: the Fourier transform, the sequences, what is done to the songs on the way."""

import math
from dataclasses import dataclass
from typing import Literal

from madsep_jax.errors import require


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


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """The short-time Fourier transform ([1] sec. III-A). Lengths in samples, the rate in Hz."""

    sample_rate: int = 44100
    window_length: int = 2049
    hop_length: int = 384
    fft_length: int = 4096

    def __post_init__(self) -> None:
        require(self.sample_rate > 0, self, "sample_rate", "a positive number of Hz")
        require(self.hop_length > 0, self, "hop_length", "a positive number of samples")
        require(
            3 * self.hop_length < self.window_length <= 6 * self.hop_length,
            self,
            "window_length",
            f"more than 3 and at most 6 hops of {self.hop_length}, so that frames cover every sample",
        )
        require(
            self.fft_length >= self.window_length and self.fft_length % 2 == 0,
            self,
            "fft_length",
            f"an even number of at least window_length ({self.window_length})",
        )

    @property
    def bins(self) -> int:
        """F, the frequency bins of a real signal's spectrum."""
        return self.fft_length // 2 + 1

    @property
    def frames_per_second(self) -> float:
        """Frames in one second of audio."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """How a song's frames are cut into sequences for training ([1] sec. III-A)."""

    frames: int = 60
    """S, the frames that go into the model."""
    context: int = 10
    """L, the frames on each side that only give context; T = S - 2L frames come out."""
    tail: Literal["pad", "drop"] = "pad"
    """`pad`: every frame is a target once, the last sequence is filled with silence. `drop`: the released code's
    cut, which starts at the first frame (so that the first L are never a target) and leaves out the sequences
    that do not fill a batch."""

    def __post_init__(self) -> None:
        require(self.context >= 0, self, "context", "0 or more frames")
        require(self.frames > 2 * self.context, self, "frames", f"more than twice the context ({self.context})")
        require(self.tail in ("pad", "drop"), self, "tail", "'pad' or 'drop'")

    @property
    def target_frames(self) -> int:
        """T, the frames that come out of the model, and the step from one sequence to the next."""
        return self.frames - 2 * self.context
