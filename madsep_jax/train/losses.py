"""The training objective: two generalised Kullback-Leibler divergences and two penalties (eq. 11 of the DWS paper).

MaD TwinNet adds the twin's divergence, and the distance of the decoder's states, mapped, from the twin's.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from madsep_jax.config.run import LossConfig
from madsep_jax.models.mad import Separation
from madsep_jax.train.batch import _middle

_KL_EPSILON = 1e-6


def generalised_kl(target: jax.Array, estimate: jax.Array) -> jax.Array:
    """Return the divergence D(target ‖ estimate) of magnitudes (…, F): summed over bins, averaged over the rest."""
    log_ratio = jnp.log(target + _KL_EPSILON) - jnp.log(estimate + _KL_EPSILON)
    return jnp.mean(jnp.sum(target * log_ratio + estimate - target, axis=-1))


def mean_distance(estimate_BTH: jax.Array, target_BTH: jax.Array) -> jax.Array:
    """Return the L2 norm over the last axis of the difference, averaged over the rest.

    Where both are equal, as all states of a silent sequence are at first, the gradient is 0 and not NaN.
    """
    squares_BT = jnp.sum(jnp.square(estimate_BTH - target_BTH), axis=-1)
    apart_BT = squares_BT > 0
    return jnp.mean(jnp.where(apart_BT, jnp.sqrt(jnp.where(apart_BT, squares_BT, 1)), 0))


def loss_parts(
    separation: Separation,
    voice_BTF: jax.Array,
    kernels: Mapping[str, jax.Array],
    config: LossConfig,
    mix_BSF: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """Return the terms of the loss, each with its weight; their sum is the loss. A term of weight 0 is left out.

    `masker`, `denoiser`, `masker_diagonal_l1` and `denoiser_l2` are those of eq. 11. In the training of a MaD TwinNet
    come `twin_masker`, the twin's divergence, and `twin_l2`, which pulls the decoder's states to the twin's and never
    the other way round. A system that is not made of masker and denoiser has none of these terms: its own are `voice`,
    the divergence of its estimate, and `accompaniment` where it estimates that as well.

    `kernels` are what the model's `output_kernels` returns for its parameters. `mix_BSF`, which the model read, is
    needed where it estimates the accompaniment.
    """
    if separation.masker_BTF is None:
        parts = {"voice": generalised_kl(voice_BTF, separation.voice_BTF)}
        if separation.accompaniment_BTF is not None:
            target_BTF = accompaniment_target(jnp.asarray(mix_BSF), voice_BTF)
            parts["accompaniment"] = generalised_kl(target_BTF, separation.accompaniment_BTF)
        return parts
    parts = {
        "masker": generalised_kl(voice_BTF, separation.masker_BTF),
        "denoiser": generalised_kl(voice_BTF, separation.voice_BTF),
    }
    twin = separation.twin
    if twin is not None and config.twin_kl:
        parts["twin_masker"] = config.twin_kl * generalised_kl(voice_BTF, twin.masker_BTF)
    if twin is not None and config.twin_l2:
        parts["twin_l2"] = config.twin_l2 * mean_distance(twin.mapped_BTH, jax.lax.stop_gradient(twin.state_BTH))
    if config.masker_diagonal_l1 and "masker" in kernels:
        diagonal = jnp.diagonal(kernels["masker"])
        parts["masker_diagonal_l1"] = config.masker_diagonal_l1 * jnp.sum(jnp.abs(diagonal))
    if config.denoiser_l2 and "denoiser" in kernels:
        parts["denoiser_l2"] = config.denoiser_l2 * jnp.sum(jnp.square(kernels["denoiser"]))
    return parts


def accompaniment_target(mix_BSF: jax.Array, voice_BTF: jax.Array) -> jax.Array:
    """Return what a system learns as the accompaniment's magnitudes: max(mixture - voice, 0).

    Batches hold the magnitudes of mixture and voice alone. Their difference is a lower bound of the accompaniment's
    magnitude (by the triangle inequality), equal to it where voice and accompaniment are in phase or one is silent.
    """
    return jnp.maximum(_middle(mix_BSF, voice_BTF) - voice_BTF, 0)
