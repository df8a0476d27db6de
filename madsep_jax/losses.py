"""The training objective: two generalised Kullback-Leibler divergences and two penalties (eq. 11 of the DWS paper)."""

from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config import LossConfig
from madsep_jax.models.mad import Separation

_KL_EPSILON = 1e-6


def generalised_kl(target: jax.Array, estimate: jax.Array) -> jax.Array:
    """Return the divergence D(target ‖ estimate) of magnitudes (…, F): summed over bins, averaged over the rest."""
    log_ratio = jnp.log(target + _KL_EPSILON) - jnp.log(estimate + _KL_EPSILON)
    return jnp.mean(jnp.sum(target * log_ratio + estimate - target, axis=-1))


def loss_parts(separation: Separation, voice_BTF: jax.Array, params: Any, config: LossConfig) -> dict[str, jax.Array]:
    """Return the terms of eq. 11, each with its weight; their sum is the loss. A term of weight 0 is left out.

    Args:
        separation: the model's output.
        voice_BTF: the target magnitudes.
        params: the model's parameters, for the penalties.
        config: the weights of the penalties.
    """
    parts = {
        "masker": generalised_kl(voice_BTF, separation.masker_BTF),
        "denoiser": generalised_kl(voice_BTF, separation.voice_BTF),
    }
    if config.masker_diagonal_l1:
        diagonal = jnp.diagonal(params["masker"]["mask_layer"]["kernel"])
        parts["masker_diagonal_l1"] = config.masker_diagonal_l1 * jnp.sum(jnp.abs(diagonal))
    if config.denoiser_l2:
        kernel = params["denoiser"]["decoder"]["kernel"]
        parts["denoiser_l2"] = config.denoiser_l2 * jnp.sum(jnp.square(kernel))
    return parts


def input_and_target(mix_BSF: jax.Array, voice_BTF: jax.Array, config: LossConfig) -> tuple[jax.Array, jax.Array]:
    """Return what the model reads and what it is to learn, from the magnitudes of mixture and voice.

    `magnitude` takes both as they are. `ratio_mask` is the released code's choice: the mixture m is clipped to 0…1,
    and the target is 2·m·v / (v + m), clipped as well.
    """
    if config.target == "magnitude":
        return mix_BSF, voice_BTF
    context = (mix_BSF.shape[1] - voice_BTF.shape[1]) // 2
    mix_BTF = mix_BSF[:, context : mix_BSF.shape[1] - context]
    both_BTF = mix_BTF + voice_BTF
    ratio_BTF = jnp.where(both_BTF > 0, voice_BTF / jnp.where(both_BTF > 0, both_BTF, 1), 0)
    return clip_input(mix_BSF, config), jnp.clip(2 * mix_BTF * ratio_BTF, 0, 1)


def clip_input(mag: jax.Array, config: LossConfig) -> jax.Array:
    """Return the mixture's magnitudes as the model reads them."""
    return mag if config.target == "magnitude" else jnp.clip(mag, 0, 1)
