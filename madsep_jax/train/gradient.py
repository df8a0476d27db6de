"""The gradient of the loss for one batch: all of a training step but the optimiser.

The batch may be shared by several devices (`madsep_jax.ops.shared_batch`), each of which then computes the same
gradient; and it may be taken in several parts one after the other, which are averaged.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from madsep_jax.config.run import RunConfig
from madsep_jax.models import build_model
from madsep_jax.ops.dropout import dropout_key
from madsep_jax.ops.precision import as_computed, computing_in, widened
from madsep_jax.ops.shared_batch import average
from madsep_jax.train.batch import Batch, Metrics, TrainState, WaveformBatch, input_and_target, magnitudes
from madsep_jax.train.losses import loss_parts


class Gradient(NamedTuple):
    """What a batch tells."""

    params: Any
    """Gradient of the loss by the parameters."""
    batch_stats: Any
    """BatchNorm's running statistics, moved towards those of the batch."""
    metrics: Metrics
    """The loss, its parts by name, and, of a recurrent inference, how often the decoder was applied."""


GradientOf = Callable[[TrainState, Batch | WaveformBatch], Gradient]
_GradientOfPart = Callable[[TrainState, Any, jax.Array], Gradient]


def make_gradient(config: RunConfig) -> GradientOf:
    """Return the pure function from (state, batch) to the gradient. Batches of waveforms are analysed first."""
    parts = config.training.accumulation
    of_part = _make_gradient_of_part(config)

    def gradient_of(state: TrainState, batch: Batch | WaveformBatch) -> Gradient:
        key = jax.random.fold_in(state.dropout_key, state.step)
        gradient = of_part(state, batch, key) if parts == 1 else _accumulate(of_part, state, batch, key, parts)
        # The count of decoder calls is the same on all devices.
        losses = {name: value for name, value in gradient.metrics.items() if name != "decoder_calls"}
        params, metrics = jax.tree.map(average, (gradient.params, losses))
        return gradient._replace(params=params, metrics={**gradient.metrics, **metrics})

    return gradient_of


def _make_gradient_of_part(config: RunConfig) -> _GradientOfPart:
    model, precision = build_model(config.model), config.compute.precision

    def of_part(state: TrainState, batch: Batch | WaveformBatch, key: jax.Array) -> Gradient:
        mix_BSF, voice_BTF = input_and_target(*magnitudes(batch, config), config.loss)

        def loss_of(params: Any) -> tuple[jax.Array, tuple[Metrics, Any]]:
            variables = dataclasses.replace(state, params=as_computed(params, precision)).variables
            read_BSF, rngs = as_computed(mix_BSF, precision), {"dropout": dropout_key(key, config.compute)}
            separation, updates = model.apply(variables, read_BSF, train=True, mutable=["batch_stats"], rngs=rngs)
            parts = loss_parts(widened(separation), voice_BTF, model.output_kernels(params), config.loss, mix_BSF)
            calls = {} if separation.decoder_calls is None else {"decoder_calls": separation.decoder_calls}
            loss = sum(parts.values(), jnp.zeros(()))
            return loss, ({"loss": loss, **parts, **calls}, updates.get("batch_stats", {}))

        with computing_in(config.compute):
            (_, (metrics, batch_stats)), params = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        return Gradient(params, batch_stats, metrics)

    return of_part


def _accumulate(
    of_part: _GradientOfPart, state: TrainState, batch: Batch | WaveformBatch, key: jax.Array, parts: int
) -> Gradient:
    """Take the parts of a batch one after the other; each has BatchNorm moments and a dropout of its own.

    Part a holds the sequences a, a + parts, a + 2 · parts, …: the same ones on any number of devices, since each device
    has neighbouring sequences.
    """

    def split(array_B: Any) -> jax.Array:
        array_B = jnp.asarray(array_B)
        return jnp.swapaxes(array_B.reshape(-1, parts, *array_B.shape[1:]), 0, 1)

    def add(carry: tuple[Any, Any], part: tuple[jax.Array, Any]) -> tuple[tuple[Any, Any], Metrics]:
        (sums, batch_stats), (number, part_of_batch) = carry, part
        given = dataclasses.replace(state, batch_stats=batch_stats)
        gradient = of_part(given, part_of_batch, jax.random.fold_in(key, number))
        return (jax.tree.map(jnp.add, sums, gradient.params), gradient.batch_stats), gradient.metrics

    start = (jax.tree.map(jnp.zeros_like, state.params), state.batch_stats)
    numbered = (jnp.arange(parts), jax.tree.map(split, batch))
    (sums, batch_stats), metrics = jax.lax.scan(add, start, numbered)
    params = jax.tree.map(lambda total: total / parts, sums)
    return Gradient(params, batch_stats, {name: jnp.mean(value, 0) for name, value in metrics.items()})
