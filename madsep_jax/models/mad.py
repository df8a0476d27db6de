"""Masker and Denoiser, the whole separator (sec. II of the DWS paper)."""

import functools
import operator
from typing import Any, ClassVar, NamedTuple

import jax
from flax import linen as nn

from madsep_jax.config.maskers import GruMaskerConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import Denoiser, dense
from madsep_jax.models.gru import evaluation_layout
from madsep_jax.models.gru_masker import GruMasker, Twin
from madsep_jax.signal.framing import middle_frames


class TwinOutput(NamedTuple):
    """What MaD TwinNet's loss compares, in training."""

    masker_BTF: jax.Array
    """The mixture, filtered by the twin's mask."""
    state_BTH: jax.Array
    """States of the twin's decoder."""
    mapped_BTH: jax.Array
    """States of the forward decoder, mapped to the twin's."""


class Separation(NamedTuple):
    """What a separator returns: magnitudes of the voice, without the context frames."""

    masker_BTF: jax.Array | None
    """V̂'_j, the filtered mixture (eq. 7); None for a system that is not made of masker and denoiser."""
    voice_BTF: jax.Array
    """V̂_j, the denoised estimate (eq. 10), the result."""
    accompaniment_BTF: jax.Array | None = None
    """The rest of the mixture, where a system estimates it as well."""
    decoder_calls: jax.Array | None = None
    """How often the decoder was applied (recurrent inference only); int32 scalar."""
    twin: TwinOutput | None = None
    """MaD TwinNet in training only."""


class SeparationModel(nn.Module):
    """From mag_BSF to a `Separation`; this base is for one that is not made of masker and denoiser."""

    last_layer: ClassVar[tuple[str, ...]] = ()
    """The names on the way to the dense layer that ends in the estimate, or a mask for it, if there is one."""

    @nn.nowrap
    def output_layers(self) -> dict[str, tuple[str, ...]]:
        """Return, for each part that ends in a mask or an estimate, the names on the way to its last dense layer."""
        return {"separator": self.last_layer} if self.last_layer else {}

    @nn.nowrap
    def output_kernels(self, params: Any) -> dict[str, jax.Array]:
        """Return the kernels of these layers: those that the loss penalises are among them."""
        layers = self.output_layers().items()
        return {part: functools.reduce(operator.getitem, (*path, "kernel"), params) for part, path in layers}


class MaskerDenoiser(SeparationModel):
    """A masker filters the mixture, a denoiser refines what it let through.

    The masker is a module that maps the mixture's magnitudes mag_BSF to a mask_BTF (`madsep_jax.models.architecture`);
    the denoiser one that maps the filtered magnitudes to a second mask.
    """

    masker: nn.Module
    denoiser: nn.Module
    context_frames: int

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in a mixture, from its magnitudes (≥ 0): batch, S = T + 2L frames, F bins.

        In training this uses batch statistics and dropout (by the PRNG key `dropout`), and updates running statistics.
        """
        return self.filter(mag_BSF, self.masker(mag_BSF, train))

    def filter(self, mag_BSF: jax.Array, mask_BTF: jax.Array) -> Separation:
        """Apply the mask to the middle frames, then the denoiser."""
        masker_BTF = middle_frames(mag_BSF, self.context_frames) * mask_BTF
        return Separation(masker_BTF=masker_BTF, voice_BTF=masker_BTF * self.denoiser(masker_BTF))

    @nn.nowrap
    def output_layers(self) -> dict[str, tuple[str, ...]]:
        """Return those of masker and denoiser, and of a twin; a part that names no last layer is left out."""
        parts: dict[str, Any] = {name: getattr(self, name, None) for name in ("masker", "denoiser", "twin")}
        return {name: (name, *part.last_layer) for name, part in parts.items() if hasattr(part, "last_layer")}


class Mad(MaskerDenoiser):
    """MaD proper, with the recurrent masker: reports its recurrent inference, and trains with a twin where it has one.

    With a twin this is MaD TwinNet. The twin and the affine map to its states are used in training alone: evaluation is
    that of the masker and denoiser, and works where the variables hold nothing else.
    """

    masker: GruMasker
    twin: Twin | None = None

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in a mixture; arguments as for every `MaskerDenoiser`."""
        mask = self.masker.mask_and_states(mag_BSF, train)
        separation = self.filter(mag_BSF, mask.mask_BTF)._replace(decoder_calls=mask.decoder_calls)
        if self.twin is None or not (train or self.is_initializing()):
            return separation
        twin_mask_BTF, twin_state_BTH = self.twin(mask.encoded_BTH, bins=mag_BSF.shape[-1])
        mapped_BTH = dense(mask.decoded_BTH.shape[-1], "affine")(mask.decoded_BTH)
        masker_BTF = middle_frames(mag_BSF, self.context_frames) * twin_mask_BTF
        return separation._replace(twin=TwinOutput(masker_BTF, twin_state_BTH, mapped_BTH))


def _mad(config: GruMaskerConfig, context_frames: int, compute: ComputeConfig) -> Mad:
    twin = Twin(config.twin_flip, compute) if config.twin else None
    return Mad(GruMasker(config, context_frames, compute), Denoiser(), context_frames, twin)


ARCHITECTURE = Architecture(
    GruMaskerConfig, _mad, training_parts=("twin", "affine"), evaluation_layout=evaluation_layout
)
