"""A whole run: model, loss, how they are computed, and the parts that are settings of their own."""

from dataclasses import dataclass, field
from typing import Literal

from madsep_jax.config.fields import Settings, option, part, zero_or_more
from madsep_jax.config.maskers import GruMaskerConfig, MaskerConfig
from madsep_jax.config.signal import DataConfig, SeparationConfig, SequenceConfig, SignalConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.errors import require

Operations = Literal["auto", "plain", "fast"]
Precision = Literal["float32", "tf32", "bfloat16"]
Generator = Literal["auto", "threefry", "rbg"]
Target = Literal["auto", "cpu", "gpu", "tpu"]


@dataclass(frozen=True, kw_only=True)
class ComputeConfig(Settings):
    """How the models are computed. Nothing but dropout's generator changes a result by more than rounding."""

    operations: Operations = option(
        "auto",
        "plain: each operation as it is defined, gradients by automatic differentiation. fast: the forms of "
        "`madsep_jax.ops` that are written for speed. auto: for each operation the one that was faster where it was "
        "measured, see `madsep_jax.ops.choice`.",
    )
    target: Target = option(
        "auto", "Kind of device that the programs are traced and compiled for; auto: the one of this process."
    )
    kernels: Literal["auto", "triton", "xla"] = option(
        "auto",
        "What the fast form of depthwise-separable blocks is made of on a GPU: triton, hand-written kernels; xla, what "
        "XLA makes of their definition; auto: triton where the GPU takes it (NVIDIA's from Ampere on).",
    )
    blocks: Literal["scanned", "unrolled"] = option(
        "scanned", "Compile equal blocks once and run them in a loop, or compile each by itself."
    )
    precision: Precision = option(
        "float32",
        "Arithmetic of the training: float32, tf32 (not on a CPU) or bfloat16; parameters, optimiser, statistics and "
        "loss are float32 in any case. Default: the preset's, float32.",
        flag="--precision",
    )
    """Of matrix products, convolutions and, with `bfloat16`, activations: `madsep_jax.ops.precision`."""
    generator: Generator = option(
        "auto",
        "Random numbers of the dropout: threefry, the same on every kind of device; rbg, which compiles sooner on a "
        "TPU; auto: rbg on a TPU, threefry elsewhere.",
    )
    remat: bool = option(
        False,
        "Keep no more of each block than its input for the gradient: less memory, more time.",
        flag="--remat",
    )
    """The fast form of the depthwise-separable blocks does so in any case."""


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
        self.masker.check_bins(self.bins)


@dataclass(frozen=True, kw_only=True)
class LossConfig(Settings):
    """The training objective ([1] eq. 11)."""

    target: Literal["magnitude", "ratio_mask"] = option(
        "magnitude",
        "|STFT(voice)|; or the released code's clip(2·m·v/(v+m), 0, 1), learnt from a mixture magnitude that is "
        "clipped to 0…1 as well.",
    )
    masker_diagonal_l1: float = option(
        1e-2, "λ₁, the weight of the L1 norm of the mask layer's diagonal.", zero_or_more()
    )
    denoiser_l2: float = option(
        1e-4, "λ₂, the weight of the squared L2 norm of the denoiser's output layer.", zero_or_more()
    )
    twin_kl: float = option(0.5, "Weight of the divergence of the twin's masker output (TwinNet only).", zero_or_more())
    twin_l2: float = option(
        1.0,
        "Weight of the distance between the decoder's states, mapped, and the twin's (TwinNet only).",
        zero_or_more(),
    )


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
    separation: SeparationConfig = part(SeparationConfig, "Separation")
    """Of the songs that the table scores; the training and its validation do not depend on it."""

    def __post_init__(self) -> None:
        _ = self.model  # checks that masker and signal fit together

    @property
    def model(self) -> ModelConfig:
        """The separator that these settings describe."""
        return ModelConfig(
            bins=self.signal.bins, context_frames=self.sequences.context, masker=self.masker, compute=self.compute
        )
