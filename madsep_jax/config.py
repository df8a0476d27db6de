"""Every setting of a run, as frozen dataclasses: the one place where a default lives.

The defaults are the DWS paper's [1]. Presets (`madsep_jax.presets`) are differences from them.

[1] Pyykkönen, Mimilakis, Drossos, Virtanen: Depthwise Separable Convolutions Versus Recurrent Neural Networks for
Monaural Singing Voice Separation, 2020 (arXiv:2007.02683).
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from madsep_jax.data_config import DataConfig
from madsep_jax.errors import InputError
from madsep_jax.masker_config import (
    LEAST_DWS_BINS,
    AutoencoderConfig,
    DilatedConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    MaskerConfig,
)
from madsep_jax.parallel_config import ParallelConfig, ProcessesConfig
from madsep_jax.precision import Precision
from madsep_jax.require import require
from madsep_jax.schedule_config import ScheduleConfig
from madsep_jax.stopping_config import EarlyStoppingConfig

__all__ = [
    "AutoencoderConfig",
    "ComputeConfig",
    "DataConfig",
    "DilatedConfig",
    "DwsMaskerConfig",
    "EarlyStoppingConfig",
    "GruMaskerConfig",
    "LossConfig",
    "MaskerConfig",
    "ModelConfig",
    "ParallelConfig",
    "ProcessesConfig",
    "RunConfig",
    "ScheduleConfig",
    "SequenceConfig",
    "SignalConfig",
    "TrainingConfig",
]


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


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """How the models are computed. Nothing here changes a result by more than rounding."""

    operations: Literal["auto", "plain", "fast"] = "auto"
    """`plain`: each operation as it is defined, gradients by automatic differentiation. `fast`: the forms of
    `madsep_jax.ops` that are written for speed. `auto`: for each operation the one that was faster where it was
    measured, see `madsep_jax.ops.choice`."""
    blocks: Literal["scanned", "unrolled"] = "scanned"
    """`scanned`: equal blocks are compiled once and run in a loop. `unrolled`: each is compiled by itself."""
    precision: Precision = "float32"
    """Of matrix products, convolutions and, with `bfloat16`, activations in training; see `madsep_jax.precision`."""
    remat: bool = False
    """Keep no more of a block than its input for the gradient, and compute the rest again: less memory, more time. The
    fast form of the depthwise-separable blocks does so in any case."""

    def __post_init__(self) -> None:
        require(self.operations in ("auto", "plain", "fast"), self, "operations", "'auto', 'plain' or 'fast'")
        require(self.blocks in ("scanned", "unrolled"), self, "blocks", "'scanned' or 'unrolled'")
        precisions = ("float32", "tf32", "bfloat16")
        require(self.precision in precisions, self, "precision", "'float32', 'tf32' or 'bfloat16'")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole separator: masker and denoiser, for spectra of `bins` bins."""

    bins: int = 2049
    """F."""
    context_frames: int = 10
    """L, the frames that are dropped at each end of the input."""
    masker: MaskerConfig = field(default_factory=GruMaskerConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        require(self.bins > 1, self, "bins", "at least 2")
        require(self.context_frames >= 0, self, "context_frames", "0 or more frames")
        if isinstance(self.masker, GruMaskerConfig) and self.masker.reduced_bins > self.bins:
            raise InputError(
                f"GruMaskerConfig.reduced_bins: found {self.masker.reduced_bins}, expected at most the {self.bins} bins"
            )
        if isinstance(self.masker, DwsMaskerConfig):
            require(self.bins >= LEAST_DWS_BINS, self, "bins", f"at least {LEAST_DWS_BINS} for the DWS masker")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The training objective ([1] eq. 11)."""

    target: Literal["magnitude", "ratio_mask"] = "magnitude"
    """`magnitude`: |STFT(voice)|. `ratio_mask`: the released code's clip(2·m·v/(v+m), 0, 1), learnt from a mixture
    magnitude that is clipped to 0…1 as well."""
    masker_diagonal_l1: float = 1e-2
    """λ₁, the weight of the L1 norm of the mask layer's diagonal."""
    denoiser_l2: float = 1e-4
    """λ₂, the weight of the squared L2 norm of the denoiser's output layer."""
    twin_kl: float = 0.5
    """Weight of the divergence of the twin's masker output (TwinNet only)."""
    twin_l2: float = 1.0
    """Weight of the distance between the decoder's states, mapped, and the twin's (TwinNet only)."""

    def __post_init__(self) -> None:
        require(self.target in ("magnitude", "ratio_mask"), self, "target", "'magnitude' or 'ratio_mask'")
        require(self.masker_diagonal_l1 >= 0, self, "masker_diagonal_l1", "0 or more")
        require(self.denoiser_l2 >= 0, self, "denoiser_l2", "0 or more")
        require(self.twin_kl >= 0, self, "twin_kl", "0 or more")
        require(self.twin_l2 >= 0, self, "twin_l2", "0 or more")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the parameters are found ([1] sec. III-B)."""

    batch_size: int = 4
    """Sequences of each step, those of all devices together."""
    accumulation: int = 1
    """Parts of a batch that are taken one after the other, their gradients averaged: less memory for as many sequences.
    BatchNorm then normalises by the moments of a part."""
    epochs: int = 100
    steps: int | None = None
    """Stop after so many steps; `epochs` is then ignored."""
    learning_rate: float = 1e-4
    """The largest, where `schedule` moves it."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_epsilon: float = 1e-8
    gradient_clip: float = 0.5
    """Largest global L2 norm of the gradient."""
    seed: int = 0
    """Of the initial parameters, the dropout and the order of the sequences."""
    order: Literal["global", "passes"] = "global"
    """`global`: one shuffle of all sequences an epoch. `passes`: the released code's, which shuffles within passes of
    `songs_per_pass` songs in file order."""
    songs_per_pass: int = 16

    def __post_init__(self) -> None:
        require(self.batch_size > 0, self, "batch_size", "a positive number of sequences")
        require(self.accumulation > 0, self, "accumulation", "a positive number of parts")
        require(
            self.batch_size % self.accumulation == 0,
            self,
            "accumulation",
            f"a divisor of the batch size ({self.batch_size})",
        )
        require(self.epochs > 0, self, "epochs", "a positive number")
        require(self.steps is None or self.steps > 0, self, "steps", "a positive number")
        require(0 < self.learning_rate < math.inf, self, "learning_rate", "a positive number")
        require(
            self.schedule.final_learning_rate <= self.learning_rate,
            self,
            "learning_rate",
            f"at least the schedule's last ({self.schedule.final_learning_rate:g})",
        )
        require(0 <= self.adam_b1 < 1, self, "adam_b1", "at least 0 and below 1")
        require(0 <= self.adam_b2 < 1, self, "adam_b2", "at least 0 and below 1")
        require(self.adam_epsilon > 0, self, "adam_epsilon", "a positive number")
        require(self.gradient_clip > 0, self, "gradient_clip", "a positive number")
        require(0 <= self.seed < 2**31, self, "seed", "0 or more, below 2**31")
        require(self.order in ("global", "passes"), self, "order", "'global' or 'passes'")
        require(self.songs_per_pass > 0, self, "songs_per_pass", "a positive number of songs")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides the outcome of one training run, but the songs."""

    preset: str = "paper"
    """The named base that the other fields started from."""
    signal: SignalConfig = field(default_factory=SignalConfig)
    sequences: SequenceConfig = field(default_factory=SequenceConfig)
    masker: MaskerConfig = field(default_factory=GruMaskerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    data: DataConfig = field(default_factory=DataConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        _ = self.model  # checks that masker and signal fit together

    @property
    def model(self) -> ModelConfig:
        """The separator that these settings describe."""
        return ModelConfig(
            bins=self.signal.bins, context_frames=self.sequences.context, masker=self.masker, compute=self.compute
        )
