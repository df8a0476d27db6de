"""The systems' own settings, as frozen dataclasses: the part of a configuration in which the compared rows differ.

The defaults are those of the papers; `madsep_jax.config.run` has everything else.

[1] Pyykkönen, Mimilakis, Drossos, Virtanen: Depthwise Separable Convolutions Versus Recurrent Neural Networks for
Monaural Singing Voice Separation, 2020 (arXiv:2007.02683).
"""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.config.io import override
from madsep_jax.errors import require

#: F from which on the DWS masker's three poolings by 5, with the upsampling between them, leave a frequency.
LEAST_DWS_BINS = 75


@dataclass(frozen=True, kw_only=True)
class GruMaskerConfig:
    """MaD's masker: bidirectional GRU encoder, GRU decoder ([1] sec. II-A)."""

    kind: Literal["gru"] = "gru"
    reduced_bins: int = 744
    """R, the lowest bins that the encoder reads."""
    residual_flip: Literal["time", "time_and_frequency"] = "time"
    """Axes in which the backward half of the encoder's residual is flipped: eq. 3 says time, the released code both."""
    recurrent_iterations: int = 0
    """`iter` of the recurrent inference: how often at most the decoder is applied to its own output; 0 for never."""
    recurrent_tolerance: float = 0.0
    """τ_term of the recurrent inference: it ends once the mean squared change of the decoder's output is below this;
    0 for never."""
    twin: bool = False
    """Train with a second decoder that runs backwards (MaD TwinNet); inference is the same without it."""
    twin_flip: Literal["time", "time_and_frequency"] = "time"
    """Axes in which the twin's input is flipped, and its states back: time alone makes it a decoder that runs
    backwards, the released code flips both."""

    def __post_init__(self) -> None:
        require(self.kind == "gru", self, "kind", "'gru'")
        require(self.reduced_bins > 0, self, "reduced_bins", "a positive number of bins")
        require(
            self.residual_flip in ("time", "time_and_frequency"),
            self,
            "residual_flip",
            "'time' or 'time_and_frequency'",
        )
        require(self.twin_flip in ("time", "time_and_frequency"), self, "twin_flip", "'time' or 'time_and_frequency'")
        require(self.recurrent_iterations >= 0, self, "recurrent_iterations", "0 or more")
        require(self.recurrent_tolerance >= 0, self, "recurrent_tolerance", "0 or more")


@dataclass(frozen=True, kw_only=True)
class DwsMaskerConfig:
    """The depthwise-separable convolutional masker ([1] sec. II-B)."""

    kind: Literal["dws"] = "dws"
    layers: int = 7
    """L_enc, the blocks after the first one."""
    channels: int = 256
    """C_o, the channels of every block."""
    kernel: int = 5
    """Side of the square depthwise kernel."""
    dropout: float = 0.1
    """Probability that a block's output channel is dropped in training."""
    input_frames: Literal["all", "middle"] = "all"
    """`all`: the CNN reads the context frames too, as the paper says. `middle`: only the T target frames, as in the
    released code."""
    residual: bool = False
    """Add a block's input to its output in the L_enc blocks, as in the released residual variant."""
    dilations: tuple[int, ...] = (1,)
    """Steps in time between the taps of the depthwise kernels of the L_enc blocks, taken in turn; (1,) as published."""
    pointwise_kernel: int = 1
    """Side of the square channel-wise kernel of the L_enc blocks; 1 as published."""

    def __post_init__(self) -> None:
        require(self.kind == "dws", self, "kind", "'dws'")
        require(0 <= self.layers <= 1000, self, "layers", "0 to 1000 blocks")
        require(0 < self.channels <= 65536, self, "channels", "1 to 65536 channels")
        require(self.kernel > 0 and self.kernel % 2 == 1, self, "kernel", "a positive odd number")
        require(0 <= self.dropout < 1, self, "dropout", "a probability of at least 0 and below 1")
        require(self.input_frames in ("all", "middle"), self, "input_frames", "'all' or 'middle'")
        require(
            len(self.dilations) > 0 and all(step > 0 for step in self.dilations),
            self,
            "dilations",
            "one or more positive numbers of frames",
        )
        require(
            self.pointwise_kernel > 0 and self.pointwise_kernel % 2 == 1,
            self,
            "pointwise_kernel",
            "a positive odd number",
        )


@dataclass(frozen=True, kw_only=True)
class DilatedConfig:
    """A stack of blocks of dilated convolutions over time and a dilated GRU (Dilated Convolution with Dilated GRU)."""

    kind: Literal["dilated"] = "dilated"
    role: Literal["masker", "system"] = "system"
    """`masker`: in place of MaD's recurrent masker, the denoiser after it. `system`: a model of its own, which predicts
    voice and accompaniment at once."""
    blocks: int = 3
    channels: int = 512
    """Features of every layer inside the blocks."""
    convolutions: int = 4
    """Dilated convolutions in a block, with dilations 1, 2, 4, …"""
    kernel: int = 3
    """Taps of each convolution in time."""
    groups: int = 4
    """Groups of channels that the convolutions keep apart."""
    gru_dilation: int = 4
    """k: step t of the GRU reads step t - k."""
    bidirectional: bool = True

    def __post_init__(self) -> None:
        require(self.kind == "dilated", self, "kind", "'dilated'")
        require(self.role in ("masker", "system"), self, "role", "'masker' or 'system'")
        for name in ("blocks", "convolutions", "groups", "gru_dilation"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.kernel > 0 and self.kernel % 2 == 1, self, "kernel", "a positive odd number")
        require(
            self.channels > 0 and self.channels % (2 * self.groups) == 0,
            self,
            "channels",
            f"a positive multiple of twice the groups ({self.groups})",
        )


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """A denoising autoencoder on single frames (Examining the Mapping Functions of Denoising Autoencoders)."""

    kind: Literal["autoencoder"] = "autoencoder"
    hidden_layers: int = 1
    """Layers before the output layer, each of F units: 1 for the DAE, 3 for the deep one."""
    skip_filtering: bool = False
    """The output is a mask for the input, in place of the estimate itself."""

    def __post_init__(self) -> None:
        require(self.kind == "autoencoder", self, "kind", "'autoencoder'")
        require(self.hidden_layers > 0, self, "hidden_layers", "a positive number of layers")


MaskerConfig = GruMaskerConfig | DwsMaskerConfig | DilatedConfig | AutoencoderConfig

#: F of the full-size systems.
_FULL_BINS = 2049


def fit_to_bins(masker: MaskerConfig, bins: int) -> MaskerConfig:
    """Return a full-size masker for spectra of `bins` bins: what is a number of frequencies keeps its share of them.

    That is the GRU's reduced bins, and the channels of the dilated blocks, which have frequencies for channels.
    """
    if isinstance(masker, GruMaskerConfig):
        return override(masker, {"reduced_bins": round(bins * masker.reduced_bins / _FULL_BINS)})
    if isinstance(masker, DilatedConfig):
        unit = 2 * masker.groups
        units = round(bins * masker.channels / _FULL_BINS / unit)
        return override(masker, {"channels": max(units, 1) * unit})
    return masker
