"""The maskers' own settings: the part of a configuration in which the compared rows differ.

The defaults are those of the papers; `madsep_jax.config.run` has everything else.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from madsep_jax.config.fields import Check, Settings, option, positive, zero_or_more
from madsep_jax.errors import InputError, require

#: F of the full-size systems.
_FULL_BINS = 2049

#: Of the side of a kernel that has a middle.
_ODD = Check(lambda value: value > 0 and value % 2 == 1, "a positive odd number")


@dataclass(frozen=True, kw_only=True)
class MaskerConfig(Settings):
    """Settings of one kind of masker, and what the rest of the code asks of them. What is said here suits a plain one.

    Three names of fields mean the same in all: `dropout`, a probability; `layers`, the equal blocks in a row that
    `ComputeConfig.blocks` is about; `recurrent_iterations`, how often at most a loop without a fixed end turns.
    `madsep_jax.models.architecture` says what else makes a masker.
    """

    kind: str = ""
    """Its name in files; each class has one, its default."""

    systems: ClassVar[dict[str, dict[str, Any]]] = {}
    """Names for `--systems`, each of a full-size system: the fields in which it differs from the defaults."""
    single_frames: ClassVar[bool] = False
    """It is published on single frames, and trained on them."""
    told_by_weights: ClassVar[tuple[str, ...]] = ()
    """The fields that published parameters tell, by their names and shapes."""

    def __post_init__(self) -> None:
        require(self.kind == type(self).kind, self, "kind", repr(type(self).kind))
        super().__post_init__()

    @property
    def mark(self) -> str:
        """The shape of its point in pictures, as Matplotlib names it."""
        return "X"

    def check_bins(self, bins: int) -> None:
        """Raise InputError where spectra of so many bins are too small."""

    def fitted_to(self, bins: int) -> Self:
        """Return full-size settings for spectra of `bins` bins: a number of frequencies keeps its share of them."""
        return self


@dataclass(frozen=True, kw_only=True)
class _EncoderDecoderConfig(MaskerConfig):
    """A bidirectional recurrent encoder of the lowest bins, and a recurrent decoder ([1] sec. II-A)."""

    reduced_bins: int = option(744, "R, the lowest bins that the encoder reads.", positive("number of bins"))

    mark = "o"

    def check_bins(self, bins: int) -> None:
        """Raise InputError where there are fewer bins than the encoder reads."""
        require(self.reduced_bins <= bins, self, "reduced_bins", f"at most the {bins} bins")

    def fitted_to(self, bins: int) -> Self:
        """Keep the share of the bins that the encoder reads."""
        return dataclasses.replace(self, reduced_bins=round(bins * self.reduced_bins / _FULL_BINS))


@dataclass(frozen=True, kw_only=True)
class GruMaskerConfig(_EncoderDecoderConfig):
    """MaD's masker: bidirectional GRU encoder, GRU decoder ([1] sec. II-A)."""

    kind: Literal["gru"] = "gru"
    residual_flip: Literal["time", "time_and_frequency"] = option(
        "time",
        "Axes in which the backward half of the encoder's residual is flipped: eq. 3 says time, released code both.",
    )
    recurrent_iterations: int = option(
        0,
        "`iter` of the recurrent inference: how often at most the decoder is applied to its own output; 0 for never.",
        zero_or_more(),
    )
    recurrent_tolerance: float = option(
        0.0,
        "τ_term of the recurrent inference: it ends once the mean squared change of the decoder's output is below "
        "this; 0 for never.",
        zero_or_more(),
    )
    twin: bool = False
    """Train with a second decoder that runs backwards (MaD TwinNet); inference is the same without it."""
    twin_flip: Literal["time", "time_and_frequency"] = option(
        "time",
        "Axes in which the twin's input is flipped, and its states back: time alone makes it a decoder that runs "
        "backwards, the released code flips both.",
    )

    #: Voice SDR / SIR / SAR in dB are the published ones (DSD100 Test, `paper` protocol).
    systems: ClassVar[dict[str, dict[str, Any]]] = {
        # 3.62 / 7.06 / 5.88 (DWS paper, Table II)
        "mad": {},
        # 3.41 / 8.32 (recurrent-inference poster, RIS-s)
        "mad-ris-s": {"recurrent_iterations": 3, "recurrent_tolerance": 1e-2},
        # 4.20 / 7.94 / 5.91 (DWS paper, Table II; RIS-l)
        "mad-ris-l": {"recurrent_iterations": 10, "recurrent_tolerance": 1e-3},
        # 4.57 / 8.17 / 5.95 (DWS paper, Table II)
        "mad-twinnet": {"twin": True},
    }
    told_by_weights = ("reduced_bins", "twin")


@dataclass(frozen=True, kw_only=True)
class MinGruMaskerConfig(_EncoderDecoderConfig):
    """MaD's masker with minimal GRUs, whose recurrence is parallel in time, in place of its GRUs."""

    kind: Literal["mingru"] = "mingru"

    #: Not published.
    systems: ClassVar[dict[str, dict[str, Any]]] = {"mad-mingru": {}}


@dataclass(frozen=True, kw_only=True)
class DwsMaskerConfig(MaskerConfig):
    """The depthwise-separable convolutional masker ([1] sec. II-B)."""

    kind: Literal["dws"] = "dws"
    layers: int = option(
        7, "L_enc, the blocks after the first one.", Check(lambda layers: 0 <= layers <= 1000, "0 to 1000 blocks")
    )
    channels: int = option(
        256, "C_o, of every block.", Check(lambda channels: 0 < channels <= 65536, "1 to 65536 channels")
    )
    kernel: int = option(5, "Side of the square depthwise kernel.", _ODD)
    dropout: float = option(
        0.1,
        "Probability that a block's output channel is dropped in training.",
        Check(lambda rate: 0 <= rate < 1, "a probability of at least 0 and below 1"),
    )
    input_frames: Literal["all", "middle"] = option(
        "all",
        "all: the CNN reads the context frames too, as the paper says. middle: only the T target frames, as in the "
        "released code.",
    )
    residual: bool = False
    """Add a block's input to its output in the L_enc blocks, as in the released residual variant."""
    dilations: tuple[int, ...] = option(
        (1,),
        "Steps in time between the taps of the depthwise kernels of the L_enc blocks, in turn; (1,) as published.",
        Check(lambda steps: len(steps) > 0 and min(steps) > 0, "one or more positive numbers of frames"),
    )
    pointwise_kernel: int = option(
        1, "Side of the square channel-wise kernel of the L_enc blocks; 1 as published.", _ODD
    )

    # `madsep_jax.config.systems` names them by their sizes.
    mark = "s"
    told_by_weights = ("layers", "channels", "kernel", "residual")
    least_bins: ClassVar[int] = 75
    """F from which on the three poolings by 5, with the upsampling between them, leave a frequency."""

    def check_bins(self, bins: int) -> None:
        """Raise InputError where the poolings leave no frequency."""
        if bins < self.least_bins:
            raise InputError(f"ModelConfig.bins: found {bins}, expected at least {self.least_bins} for the DWS masker")


@dataclass(frozen=True, kw_only=True)
class DilatedConfig(MaskerConfig):
    """A stack of blocks of dilated convolutions over time and a dilated GRU (Dilated Convolution with Dilated GRU)."""

    kind: Literal["dilated"] = "dilated"
    role: Literal["masker", "system"] = option(
        "system",
        "masker: in place of MaD's recurrent masker, the denoiser after it. system: a model of its own, which predicts "
        "voice and accompaniment at once.",
    )
    blocks: int = option(3, "In a row.", positive())
    channels: int = option(512, "Features of every layer inside the blocks.")
    convolutions: int = option(4, "Dilated convolutions in a block, with dilations 1, 2, 4, …", positive())
    kernel: int = option(3, "Taps of each convolution in time.", _ODD)
    groups: int = option(4, "Groups of channels that the convolutions keep apart.", positive())
    gru_dilation: int = option(4, "k: step t of the GRU reads step t - k.", positive())
    bidirectional: bool = True

    systems: ClassVar[dict[str, dict[str, Any]]] = {
        # in place of the recurrent masker: not published
        "mad-dilated": {"role": "masker"},
        # alone: published on other data
        "dilated-gru": {"role": "system"},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.channels > 0 and self.channels % (2 * self.groups) == 0
        require(fits, self, "channels", f"a positive multiple of twice the groups ({self.groups})")

    @property
    def mark(self) -> str:
        """That of MaD for a MaD with another masker, and one of its own."""
        return "o" if self.role == "masker" else "^"

    def fitted_to(self, bins: int) -> Self:
        """Keep the share of the channels, which are frequencies, to a multiple of twice the groups."""
        unit = 2 * self.groups
        units = round(bins * self.channels / _FULL_BINS / unit)
        return dataclasses.replace(self, channels=max(units, 1) * unit)


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(MaskerConfig):
    """A denoising autoencoder on single frames (Examining the Mapping Functions of Denoising Autoencoders)."""

    kind: Literal["autoencoder"] = "autoencoder"
    hidden_layers: int = option(
        1,
        "Layers before the output layer, each of F units: 1 for the DAE, 3 for the deep one.",
        positive("number of layers"),
    )
    skip_filtering: bool = False
    """The output is a mask for the input, in place of the estimate itself."""

    #: Published without such scores.
    systems: ClassVar[dict[str, dict[str, Any]]] = {
        "dae": {},
        "dae-deep": {"hidden_layers": 3},
        "skip-filtering": {"skip_filtering": True},
    }
    single_frames = True

    @property
    def mark(self) -> str:
        """One for estimates, another for a mask."""
        return "v" if self.skip_filtering else "D"


#: The settings of each kind, in the order in which systems are listed; `madsep_jax.models.registry` adds more to it.
KINDS: dict[str, type[MaskerConfig]] = {
    settings.kind: settings
    for settings in (GruMaskerConfig, MinGruMaskerConfig, DwsMaskerConfig, DilatedConfig, AutoencoderConfig)
}
