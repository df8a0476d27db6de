"""The loss on sequences that are not trained on: without dropout, by BatchNorm's running statistics."""

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
from madsep_jax.train.batch import Batch, input_and_target
from madsep_jax.train.losses import loss_parts


def validation_loss(
    config: RunConfig, variables: Mapping[str, Any], batches: Iterable[tuple[Batch, int]]
) -> dict[str, float]:
    """Return `loss`, the average over all sequences, and its parts by name (`madsep_jax.train.losses`).

    The parts are those of inference: a MaD TwinNet has none of its twin. It is computed in float32 whatever the
    training is computed in. A recurrent inference ends when all of a batch, the filling of the last one included,
    hardly changes.

    The batches are of magnitudes, all of one size, each with the number of its sequences that count, its first ones:
    others only fill it. The variables lie on one device. All runs with the same model and loss share one program.
    """
    totals: dict[str, jax.Array] = {}
    sequences = 0
    for batch, count in batches:
        sums = _jitted_sums(jax.default_backend())(config.model, config.loss, variables, batch, count)
        totals = {name: totals[name] + value for name, value in sums.items()} if totals else sums
        sequences += count
    if not sequences:
        raise ValueError("no sequences, expected at least one")
    return {name: float(np.asarray(total, np.float64)) / sequences for name, total in totals.items()}


@functools.cache
def _jitted_sums(backend: str) -> Any:
    """Jit when it is needed: the backend, whose options it takes, is not known before."""
    return jax.jit(_summed_losses, static_argnames=("model", "loss"), compiler_options=compiler_options(backend))


def _summed_losses(
    model: ModelConfig, loss: LossConfig, variables: Mapping[str, Any], batch: Batch, count: jax.Array | int
) -> dict[str, jax.Array]:
    """Return the sum over the sequences that count of the loss and of each of its parts."""
    read_BSF, target_BTF = input_and_target(jnp.asarray(batch.mix_BSF), jnp.asarray(batch.voice_BTF), loss)
    built = build_model(model)
    found: Any = built.apply(variables, read_BSF, train=False)
    kernels = built.output_kernels(variables["params"])

    def of_one(found_TF: Separation, target_TF: jax.Array, read_SF: jax.Array) -> dict[str, jax.Array]:
        separation = jax.tree.map(lambda array: array[None], found_TF)
        parts = loss_parts(separation, target_TF[None], kernels, loss, read_SF[None])
        return {"loss": sum(parts.values(), jnp.zeros(())), **parts}

    losses_B = jax.vmap(of_one)(found._replace(decoder_calls=None), target_BTF, read_BSF)
    counts_B = jnp.arange(read_BSF.shape[0]) < count
    return {name: jnp.sum(jnp.where(counts_B, values_B, 0)) for name, values_B in losses_B.items()}
