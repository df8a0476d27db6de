"""The training objective: two generalised Kullback-Leibler divergences and two penalties (eq. 11 of the DWS paper).

MaD TwinNet adds the twin's divergence, and the distance of the decoder's states, mapped, from the twin's.

The loss on sequences that are not trained on is without dropout, by BatchNorm's running statistics.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from madsep_jax.config.run import LossConfig, ModelConfig, RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.models.mad import Separation
from madsep_jax.ops.choice import target_of
from madsep_jax.ops.precision import computing_in
from madsep_jax.train.batch import Batch, input_and_target, middle_of

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
    return jnp.maximum(middle_of(mix_BSF, voice_BTF) - voice_BTF, 0)


def validation_loss(
    config: RunConfig, variables: Mapping[str, Any], batches: Iterable[tuple[Batch, int]]
) -> dict[str, float]:
    """Return `loss`, the average over all sequences, and its parts by name, see `loss_parts`.

    The parts are those of inference: a MaD TwinNet has none of its twin. It is computed in float32 whatever the
    training is computed in. A recurrent inference ends when all of a batch, the filling of the last one included,
    hardly changes.

    The batches are of magnitudes, all of one size, each with the number of its sequences that count, its first ones:
    others only fill it. The variables lie on one device. All runs with the same model and loss share one program.
    """
    totals: dict[str, jax.Array] = {}
    sequences = 0
    for batch, count in batches:
        sums = _jitted_sums(target_of(config.compute))(config.model, config.loss, variables, batch, count)
        totals = {name: totals[name] + value for name, value in sums.items()} if totals else sums
        sequences += count
    if not sequences:
        raise ValueError("no sequences, expected at least one")
    return {name: float(np.asarray(total, np.float64)) / sequences for name, total in totals.items()}


@functools.cache
def _jitted_sums(target: str) -> Any:
    """Jit when it is needed: the target, whose options it takes, is not known before."""
    return jax.jit(_summed_losses, static_argnames=("model", "loss"), compiler_options=compiler_options(target))


def _summed_losses(
    model: ModelConfig, loss: LossConfig, variables: Mapping[str, Any], batch: Batch, count: jax.Array | int
) -> dict[str, jax.Array]:
    """Return the sum over the sequences that count of the loss and of each of its parts."""
    read_BSF, target_BTF = input_and_target(jnp.asarray(batch.mix_BSF), jnp.asarray(batch.voice_BTF), loss)
    built = build_model(model)
    with computing_in(model.compute, "float32"):
        found: Any = built.apply(variables, read_BSF, train=False)
    kernels = built.output_kernels(variables["params"])

    def of_one(found_TF: Separation, target_TF: jax.Array, read_SF: jax.Array) -> dict[str, jax.Array]:
        separation = jax.tree.map(lambda array: array[None], found_TF)
        parts = loss_parts(separation, target_TF[None], kernels, loss, read_SF[None])
        return {"loss": sum(parts.values(), jnp.zeros(())), **parts}

    losses_B = jax.vmap(of_one)(found._replace(decoder_calls=None), target_BTF, read_BSF)
    counts_B = jnp.arange(read_BSF.shape[0]) < count
    return {name: jnp.sum(jnp.where(counts_B, values_B, 0)) for name, values_B in losses_B.items()}
