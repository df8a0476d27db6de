"""Every setting of a run, as frozen dataclasses: the one place where a default lives.

The defaults are the DWS paper's [1]. Presets (`madsep_jax.config.presets`) are differences from them.

[1] Pyykkönen, Mimilakis, Drossos, Virtanen: Depthwise Separable Convolutions Versus Recurrent Neural Networks for
Monaural Singing Voice Separation, 2020 (arXiv:2007.02683).
"""

from dataclasses import dataclass, field
from typing import Literal

from madsep_jax.config.maskers import GruMaskerConfig, MaskerConfig
from madsep_jax.config.signal import DataConfig, SequenceConfig, SignalConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.errors import require

Precision = Literal["float32", "tf32", "bfloat16"]


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
    """Of matrix products, convolutions and, with `bfloat16`, activations in training: `madsep_jax.ops.precision`."""
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
        self.masker.check_bins(self.bins)


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


Operations = Literal["auto", "plain", "fast"]
