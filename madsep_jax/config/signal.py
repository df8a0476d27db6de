"""From songs to what a model reads: the Fourier transform, the sequences, what is done to the songs on the way."""

import math
from dataclasses import dataclass
from typing import Literal

from madsep_jax.config.fields import Settings, option, positive, zero_or_more, zero_to_one
from madsep_jax.errors import require


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Form of the training data, its ends, and its augmentation. By default the songs are taken as they are.

    What is drawn at random is a pure function of the training's seed, the epoch, and the place in the epoch.
    """

    features: Literal["spectrogram", "waveform"] = option(
        "spectrogram", "Magnitudes, computed beforehand; or samples, of which the step computes the magnitudes."
    )
    last_batch: Literal["drop", "pad"] = option(
        "drop", "Leave an epoch's sequences that do not fill a batch out of it, or fill the batch with silence."
    )
    gain_db: float = option(
        0.0,
        "Voice and accompaniment are each made louder or softer by up to so many dB (uniform in dB); of magnitudes, "
        "from which no mixture can be made anew, both by the same.",
        zero_or_more("dB"),
    )
    channel_swap: float = option(
        0.0,
        "Probability that the channels of the voice, and of the accompaniment, are swapped, each by itself. The "
        "average of the channels, which all models here take, stays the same: it is for models of stereo.",
        zero_to_one("probability"),
    )
    remix: float = option(
        0.0,
        "Probability that the accompaniment is replaced by that of a sequence of another song.",
        zero_to_one("probability"),
    )
    silent_share: float = option(
        1.0,
        "Share of the sequences without voice that an epoch takes, drawn anew for each epoch.",
        zero_to_one("share"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        mixes = [name for name in ("channel_swap", "remix") if getattr(self, name)]
        if mixes:
            require(self.features == "waveform", self, "features", f"'waveform', which {mixes[0]} needs")

    @property
    def mixes_anew(self) -> bool:
        """Whether mixtures are made anew, in place of taking the songs' own."""
        return bool(self.gain_db or self.channel_swap or self.remix)


@dataclass(frozen=True, kw_only=True)
class SignalConfig(Settings):
    """The short-time Fourier transform ([1] sec. III-A). Lengths in samples, the rate in Hz."""

    sample_rate: int = option(44100, "Hz.", positive("number of Hz"))
    window_length: int = 2049
    hop_length: int = option(384, "From one frame to the next.", positive("number of samples"))
    fft_length: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
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
class SequenceConfig(Settings):
    """How a song's frames are cut into sequences for training ([1] sec. III-A)."""

    frames: int = option(60, "S, the frames that go into the model.")
    context: int = option(
        10, "L, the frames on each side that only give context; T = S - 2L frames come out.", zero_or_more("frames")
    )
    tail: Literal["pad", "drop"] = option(
        "pad",
        "pad: every frame is a target once, the last sequence is filled with silence. drop: the released code's cut, "
        "which starts at the first frame (so that the first L are never a target) and leaves out the sequences that do "
        "not fill a batch.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.frames > 2 * self.context, self, "frames", f"more than twice the context ({self.context})")

    @property
    def target_frames(self) -> int:
        """T, the frames that come out of the model, and the step from one sequence to the next."""
        return self.frames - 2 * self.context


@dataclass(frozen=True, kw_only=True)
class SeparationConfig(Settings):
    """How a trained separator is applied to a song; by default as published."""

    mask_limit: float | None = option(
        None,
        "Largest value of the mask, the estimated voice over the mixture: 1 lets no more pass than there is; inf, as "
        "published, has no limit.",
        positive(),
        flag="--mask-limit",
    )
    level: Literal["song", "training"] = option(
        "song",
        "The level at which the model hears a song: the song's own, as published; or that of the training, to which it "
        "is brought by a gain, which is taken back afterwards.",
        flag="--level",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_limit == math.inf:
            object.__setattr__(self, "mask_limit", None)  # one value for no limit, which JSON has too


#: For songs that are listened to, as `madsep separate` and `madsep_jax.Separator` take them.
FOR_SONGS = SeparationConfig(mask_limit=1.0, level="training")

#: The two results of a song: names of their files.
VOICE, ACCOMPANIMENT = "vocals", "accompaniment"
STEMS = (VOICE, ACCOMPANIMENT)

Format = Literal["wav", "flac", "mp3", "ogg"]
#: They leave out what is hardly heard, and have no sample format.
LOSSY = ("mp3", "ogg")
