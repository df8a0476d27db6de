"""Training: the initial state, the pure step, and its compilation. `madsep_jax.train.running` has the loop."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import build_model
from madsep_jax.ops.choice import runs_fast, target_of
from madsep_jax.train.batch import Batch, Metrics, TrainState, TrainStep, WaveformBatch, zero_batch
from madsep_jax.train.gradient import GradientOf, make_gradient
from madsep_jax.train.optimizer import current_learning_rate, learning_rate, make_optimizer, make_update


def init_state(config: RunConfig) -> TrainState:
    """Return the state before the first step; a pure function of the config, its seed included."""
    seedless = dataclasses.replace(config, training=dataclasses.replace(config.training, seed=0))
    return _initial_state(seedless, jnp.asarray(config.training.seed))


@functools.partial(jax.jit, static_argnums=0)
def _initial_state(config: RunConfig, seed: jax.Array) -> TrainState:
    """Compiled once for all seeds."""
    init_key, dropout_key = jax.random.split(jax.random.key(seed))
    mag_BSF = jnp.zeros((1, config.sequences.frames, config.signal.bins))
    variables = build_model(config.model).init(init_key, mag_BSF)
    keeps_gradient = runs_fast("optimizer", config.compute)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=make_optimizer(config.training).init(variables["params"]),
        dropout_key=dropout_key,
        gradient=jax.tree.map(jnp.zeros_like, variables["params"]) if keeps_gradient else None,
    )


def make_train_step(config: RunConfig, share: Callable[[GradientOf], GradientOf] = lambda of: of) -> TrainStep:
    """Return the pure function from (state, batch) to (state, metrics); `jit_train_step` jits it.

    Metrics are the loss, its parts by name, the gradient's global norm before clipping, the learning rate, and, of a
    recurrent inference, how often the decoder was applied. Of a batch of waveforms, the step computes the magnitudes
    first. `share` makes of the gradient of a batch that of one which several devices share (`madsep_jax.parallel`).
    """
    gradient_of = share(make_gradient(config))
    update, rate = make_update(config), learning_rate(config.training)

    def train_step(state: TrainState, batch: Batch | WaveformBatch) -> tuple[TrainState, Metrics]:
        gradient = gradient_of(state, batch)
        updated = update(gradient.params, state.opt_state, state.params)
        new_state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=updated.params,
            batch_stats=gradient.batch_stats,
            opt_state=updated.opt_state,
            gradient=None if state.gradient is None else gradient.params,
        )
        moved = {"gradient_norm": updated.gradient_norm, "learning_rate": current_learning_rate(rate, state.opt_state)}
        return new_state, {**gradient.metrics, **moved}

    return train_step


def jit_train_step(train_step: TrainStep, options: Mapping[str, int]) -> Any:
    """Jit a step. It takes the state's buffers and writes the new state into them.

    Unused arguments are kept: of the last gradient only its memory is used. The compiler's options are those of
    `madsep_jax.host.compiler.compiler_options`, unless others are tried.
    """
    return jax.jit(train_step, donate_argnums=0, keep_unused=True, compiler_options=dict(options))


def compile_train_step(
    config: RunConfig, state: TrainState, like: Batch | WaveformBatch | None = None
) -> tuple[Any, float]:
    """Compile the step ahead of time, with the state's buffers donated; return it and the seconds that it took.

    The step takes batches `like` the one given, and float32 magnitudes where none is.
    """
    batch = jax.eval_shape(lambda: zero_batch(config) if like is None else like)
    start = time.perf_counter()
    options = compiler_options(target_of(config.compute))
    compiled = jit_train_step(make_train_step(config), options).lower(state, batch).compile()
    return compiled, time.perf_counter() - start
