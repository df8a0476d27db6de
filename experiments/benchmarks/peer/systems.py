"""Whole separators, from a config to one, and their training step: the same as in `madsep_jax.train.step`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from experiments.benchmarks.peer.maskers import Denoiser, DwsMasker, GruMasker, Twin, middle_frames, named
from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig
from madsep_jax.config.run import LossConfig, ModelConfig
from madsep_jax.config.training import TrainingConfig
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
        self.affine = named(linear_layer=nn.Linear(2 * config.reduced_bins, 2 * config.reduced_bins))

    def forward(self, mag_BSF: torch.Tensor) -> Separation:
        """Estimate the voice in a mixture; by the MaD part alone where it is not trained."""
        if not self.training:
            return self.mad(mag_BSF)
        masker = self.mad.masker
        assert isinstance(masker, GruMasker)
        encoded_BTH = masker.rnn_enc(mag_BSF)
        decoded_BTH = masker.decode(encoded_BTH)
        twin_mask_BTF, state_BTH = self.twin_net(encoded_BTH)
        masker_BTF = middle_frames(mag_BSF, self.mad.context_frames) * twin_mask_BTF
        twin = TwinOutput(masker_BTF, state_BTH, self.affine(decoded_BTH))
        return self.mad.filter(mag_BSF, masker.fnn(decoded_BTH))._replace(twin=twin)


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


_KL_EPSILON = 1e-6


def generalised_kl(target_BTF: torch.Tensor, estimate_BTF: torch.Tensor) -> torch.Tensor:
    """Return the divergence D(target ‖ estimate): summed over bins, averaged over the rest."""
    log_ratio = torch.log(target_BTF + _KL_EPSILON) - torch.log(estimate_BTF + _KL_EPSILON)
    return torch.sum(target_BTF * log_ratio + estimate_BTF - target_BTF, dim=-1).mean()


def loss_of(model: nn.Module, separation: Separation, voice_BTF: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Return the loss of eq. 11, with the twin's two terms for MaD TwinNet."""
    loss = generalised_kl(voice_BTF, separation.masker_BTF) + generalised_kl(voice_BTF, separation.voice_BTF)
    mad: Any = model.mad if isinstance(model, MadTwinNet) else model
    if config.masker_diagonal_l1:
        # `diagonal` is the same of the weight and its transpose
        loss = loss + config.masker_diagonal_l1 * mad.masker.fnn.linear_layer.weight.diagonal().abs().sum()
    if config.denoiser_l2:
        loss = loss + config.denoiser_l2 * mad.denoiser.fnn_dec.weight.square().sum()
    if separation.twin is not None:
        twin = separation.twin
        distance = torch.linalg.vector_norm(twin.mapped_BTH - twin.state_BTH.detach(), dim=-1).mean()
        loss = loss + config.twin_kl * generalised_kl(voice_BTF, twin.masker_BTF) + config.twin_l2 * distance
    return loss


def _widened(separation: Separation) -> Separation:
    twin = separation.twin and TwinOutput(*(one.float() for one in separation.twin))
    return Separation(separation.masker_BTF.float(), separation.voice_BTF.float(), twin)


def make_train_step(
    model: nn.Module,
    loss_config: LossConfig,
    config: TrainingConfig,
    fused: bool = False,
    autocast: torch.dtype | None = None,
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the step from mag_BSF and voice_BTF to the loss; it changes the model in place.

    Args:
        model: a `build_peer`, in training.
        loss_config: weights of the loss.
        config: of the optimiser.
        fused: update the parameters in one kernel, in place of PyTorch's default for the device.
        autocast: the model computes in it where PyTorch's autocast holds that right; the loss in float32.

    Raises:
        InputError: for a target other than the magnitude.
    """
    if loss_config.target != "magnitude":
        raise InputError(f"loss.target: found {loss_config.target!r}, PyTorch's step has 'magnitude' alone")
    parameters = list(model.parameters())
    adam = torch.optim.Adam(
        parameters,
        lr=config.learning_rate,
        betas=(config.adam_b1, config.adam_b2),
        eps=config.adam_epsilon,
        fused=fused or None,
    )

    def train_step(mag_BSF: torch.Tensor, voice_BTF: torch.Tensor) -> torch.Tensor:
        adam.zero_grad()
        with torch.autocast(mag_BSF.device.type, autocast, enabled=autocast is not None):
            separation = model(mag_BSF)
        loss = loss_of(model, separation if autocast is None else _widened(separation), voice_BTF, loss_config)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        adam.step()
        return loss.detach()

    return train_step
