"""The training step in PyTorch: the same loss, gradient clip and Adam as in `madsep_jax.train.step`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from experiments.benchmarks.peer.systems import MadTwinNet, Separation
from madsep_jax.config.run import LossConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.errors import InputError

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


def make_train_step(
    model: nn.Module, loss_config: LossConfig, config: TrainingConfig, fused: bool = False
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the step from mag_BSF and voice_BTF to the loss; it changes the model in place.

    Args:
        model: a `build_peer`, in training.
        loss_config: weights of the loss.
        config: of the optimiser.
        fused: update the parameters in one kernel, in place of PyTorch's default for the device.

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
        loss = loss_of(model, model(mag_BSF), voice_BTF, loss_config)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        adam.step()
        return loss.detach()

    return train_step
