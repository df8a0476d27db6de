"""Masker and Denoiser, the whole separator (sec. II of the DWS paper)."""

import functools
import operator
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from madsep_jax.config.maskers import GruMaskerConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import Denoiser, dense
from madsep_jax.models.gru import evaluation_layout
from madsep_jax.models.gru_masker import GruMasker
from madsep_jax.models.twin import Twin
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


class Penalised(NamedTuple):
    """The kernels that the loss penalises; None where there is no such layer."""

    mask_kernel: jax.Array | None = None
    """Of the layer that the mask comes from."""
    denoiser_kernel: jax.Array | None = None
    """Of the denoiser's output layer."""


class Separator(nn.Module):
    """From mag_BSF to a `Separation`. This base is one without masker and denoiser, of which nothing is penalised."""

    @nn.nowrap
    def output_layers(self) -> list[tuple[str, ...]]:
        """Return the paths of the dense layers whose ReLU ends in a mask or an estimate."""
        return []

    @nn.nowrap
    def penalised(self, params: Any) -> Penalised:
        """Return the kernels among the parameters that the loss penalises."""
        return Penalised()


_DENOISER_OUTPUT = ("denoiser", "decoder")


class MaskerDenoiser(Separator):
    """A masker filters the mixture, a denoiser refines what it let through.

    The masker is a module that maps the mixture's magnitudes mag_BSF to a mask_BTF (`madsep_jax.models.architecture`);
    the denoiser one that maps the filtered magnitudes to a second mask.
    """

    masker: nn.Module
    denoiser: nn.Module
    context_frames: int

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate the voice in a mixture.

        Args:
            mag_BSF: magnitudes (≥ 0) of the mixture: batch, S = T + 2L frames, F bins.
            train: use batch statistics and dropout (which needs the `dropout` PRNG key), update running statistics.
        """
        return self.filter(mag_BSF, self.masker(mag_BSF, train))

    def filter(self, mag_BSF: jax.Array, mask_BTF: jax.Array) -> Separation:
        """Apply the mask to the middle frames, then the denoiser."""
        masker_BTF = middle_frames(mag_BSF, self.context_frames) * mask_BTF
        return Separation(masker_BTF=masker_BTF, voice_BTF=masker_BTF * self.denoiser(masker_BTF))

    @nn.nowrap
    def output_layers(self) -> list[tuple[str, ...]]:
        """Return the masker's, where it names one, and the denoiser's."""
        last_layer = _last_layer(self.masker)
        return [("masker", *last_layer), _DENOISER_OUTPUT] if last_layer else [_DENOISER_OUTPUT]

    @nn.nowrap
    def penalised(self, params: Any) -> Penalised:
        """Return the kernels of both."""
        last_layer = _last_layer(self.masker)
        mask_kernel = _kernel(params, "masker", *last_layer) if last_layer else None
        return Penalised(mask_kernel, _kernel(params, *_DENOISER_OUTPUT))


def _last_layer(masker: nn.Module) -> tuple[str, ...]:
    return getattr(masker, "last_layer", ())


def _kernel(params: Any, *path: str) -> jax.Array:
    return functools.reduce(operator.getitem, (*path, "kernel"), params)


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
        twin = self.twin(mask.encoded_BTH, bins=mag_BSF.shape[-1])
        mapped_BTH = dense(mask.decoded_BTH.shape[-1], "affine")(mask.decoded_BTH)
        masker_BTF = middle_frames(mag_BSF, self.context_frames) * twin.mask_BTF
        return separation._replace(twin=TwinOutput(masker_BTF, twin.state_BTH, mapped_BTH))

    @nn.nowrap
    def output_layers(self) -> list[tuple[str, ...]]:
        """Add the twin's."""
        twin = [] if self.twin is None else [("twin", *self.twin.last_layer)]
        return [*super().output_layers(), *twin]


def _mad(config: GruMaskerConfig, context_frames: int, compute: ComputeConfig) -> Mad:
    twin = Twin(config.twin_flip, compute) if config.twin else None
    return Mad(GruMasker(config, context_frames, compute), Denoiser(), context_frames, twin)


ARCHITECTURE = Architecture(
    GruMaskerConfig, _mad, training_parts=("twin", "affine"), evaluation_layout=evaluation_layout
)
