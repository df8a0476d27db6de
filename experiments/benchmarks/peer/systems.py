"""Whole separators, and from a config to one."""

from typing import NamedTuple

import torch
from torch import nn

from experiments.benchmarks.peer.dws import DwsMasker
from experiments.benchmarks.peer.mad import Affine, Denoiser, GruMasker, Twin, middle_frames
from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig
from madsep_jax.config.run import ModelConfig
from madsep_jax.errors import InputError


class TwinOutput(NamedTuple):
    """What MaD TwinNet's loss compares, in training."""

    masker_BTF: torch.Tensor
    state_BTH: torch.Tensor
    mapped_BTH: torch.Tensor


class Separation(NamedTuple):
    """Magnitudes of the voice: after the masker, and after the denoiser."""

    masker_BTF: torch.Tensor
    voice_BTF: torch.Tensor
    twin: TwinOutput | None = None


class MaskerDenoiser(nn.Module):
    """A masker filters the mixture, a denoiser refines what it let through."""

    def __init__(self, masker: GruMasker | DwsMasker, bins: int, context_frames: int) -> None:
        super().__init__()
        self.context_frames = context_frames
        self.masker = masker
        self.denoiser = Denoiser(bins)

    def forward(self, mag_BSF: torch.Tensor) -> Separation:
        """Estimate the voice in a mixture."""
        return self.filter(mag_BSF, self.masker(mag_BSF))

    def filter(self, mag_BSF: torch.Tensor, mask_BTF: torch.Tensor) -> Separation:
        """Apply the mask to the middle frames, then the denoiser."""
        masker_BTF = middle_frames(mag_BSF, self.context_frames) * mask_BTF
        return Separation(masker_BTF, self.denoiser(masker_BTF))


class MadTwinNet(nn.Module):
    """MaD and, in training, its twin."""

    def __init__(self, config: GruMaskerConfig, bins: int, context_frames: int) -> None:
        super().__init__()
        self.mad = MaskerDenoiser(GruMasker(config, bins, context_frames), bins, context_frames)
        self.twin_net = Twin(config, bins)
        self.affine = Affine(2 * config.reduced_bins)

    def forward(self, mag_BSF: torch.Tensor) -> Separation:
        """Estimate the voice in a mixture; by the MaD part alone where it is not trained."""
        if not self.training:
            return self.mad(mag_BSF)
        masker = self.mad.masker
        assert isinstance(masker, GruMasker)
        mask = masker.mask_and_states(mag_BSF)
        twin_mask_BTF, state_BTH = self.twin_net(mask.encoded_BTH)
        masker_BTF = middle_frames(mag_BSF, self.mad.context_frames) * twin_mask_BTF
        twin = TwinOutput(masker_BTF, state_BTH, self.affine(mask.decoded_BTH))
        return self.mad.filter(mag_BSF, mask.mask_BTF)._replace(twin=twin)


def build_peer(config: ModelConfig) -> nn.Module:
    """Return the separator that a config describes, from mag_BSF to a `Separation`, with random weights.

    Raises:
        InputError: for a system that is not written in PyTorch here.
    """
    bins, context_frames = config.bins, config.context_frames
    match config.masker:
        case GruMaskerConfig(twin=True) as gru:
            return MadTwinNet(gru, bins, context_frames)
        case GruMaskerConfig() as gru:
            return MaskerDenoiser(GruMasker(gru, bins, context_frames), bins, context_frames)
        case DwsMaskerConfig(dilations=(1,), pointwise_kernel=1) as dws:
            return MaskerDenoiser(DwsMasker(dws, bins, context_frames), bins, context_frames)
    raise InputError(f"{config.masker.kind}: not written in PyTorch, expected MaD, MaD TwinNet or a DWS-CNN")
