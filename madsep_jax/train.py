"""Training: the state, the pure step, and the loop."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.typing import ArrayLike

from madsep_jax.config import RunConfig, TrainingConfig
from madsep_jax.losses import input_and_target, loss_parts
from madsep_jax.models import build_model
from madsep_jax.ops.choice import runs_fast
from madsep_jax.ops.fused_adam import Update, fused_update, optax_update
from madsep_jax.waveforms import WaveformBatch, magnitudes_of


class Batch(NamedTuple):
    """Magnitudes of one batch of sequences; those of 16 bits are computed with in float32."""

    mix_BSF: ArrayLike
    voice_BTF: ArrayLike


@struct.dataclass
class TrainState:
    """All that a step changes."""

    step: jax.Array
    """Steps done."""
    params: Any
    batch_stats: Any
    """BatchNorm's running statistics; empty for a model without any."""
    opt_state: Any
    dropout_key: jax.Array
    """Stays as it is: each step folds its number into it."""
    gradient: Any = None
    """The last step's; nothing reads it. A step writes its own over it, in place of memory that it would ask the system
    for anew, page by page: on a CPU a seventh of a MaD's step. None for a state that keeps none."""

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.batch_stats else {"params": self.params}


Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch | WaveformBatch], tuple[TrainState, Metrics]]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite. Carries the step, counted from 1."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss is {loss} at step {step}")
        self.step = step


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Return the paper's optimiser: clip the global L2 norm of the gradient, then Adam (sec. III-B)."""
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.adam(config.learning_rate, b1=config.adam_b1, b2=config.adam_b2, eps=config.adam_epsilon),
    )


def _make_update(config: RunConfig) -> Update:
    if runs_fast("optimizer", config.compute.operations):
        return fused_update(config.training)
    return optax_update(make_optimizer(config.training))


def init_state(config: RunConfig) -> TrainState:
    """Return the state before the first step; a pure function of the config, its seed included."""
    return jax.jit(_initial_state, static_argnums=0)(config)


def _initial_state(config: RunConfig) -> TrainState:
    init_key, dropout_key = jax.random.split(jax.random.key(config.training.seed))
    mag_BSF = jnp.zeros((1, config.sequences.frames, config.signal.bins))
    variables = build_model(config.model).init(init_key, mag_BSF)
    keeps_gradient = runs_fast("optimizer", config.compute.operations)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=make_optimizer(config.training).init(variables["params"]),
        dropout_key=dropout_key,
        gradient=jax.tree.map(jnp.zeros_like, variables["params"]) if keeps_gradient else None,
    )


def make_train_step(config: RunConfig) -> TrainStep:
    """Return the pure function from (state, batch) to (state, metrics); `jit_train_step` jits it.

    Metrics are the loss, its parts by name, the gradient's global norm before clipping, and, of a recurrent inference,
    how often the decoder was applied. Of a batch of waveforms, the step computes the magnitudes first.
    """
    model = build_model(config.model)
    update = _make_update(config)

    def train_step(state: TrainState, batch: Batch | WaveformBatch) -> tuple[TrainState, Metrics]:
        mix_BSF, voice_BTF = input_and_target(*_magnitudes(batch, config), config.loss)
        rngs = {"dropout": jax.random.fold_in(state.dropout_key, state.step)}

        def loss_of(params: Any) -> tuple[jax.Array, tuple[Metrics, Metrics, Any]]:
            variables = dataclasses.replace(state, params=params).variables
            separation, updates = model.apply(variables, mix_BSF, train=True, mutable=["batch_stats"], rngs=rngs)
            parts = loss_parts(separation, voice_BTF, params, config.loss, mix_BSF)
            calls = {} if separation.decoder_calls is None else {"decoder_calls": separation.decoder_calls}
            return sum(parts.values(), jnp.zeros(())), (parts, calls, updates.get("batch_stats", {}))

        (loss, (parts, calls, batch_stats)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updated = update(gradient, state.opt_state, state.params)
        metrics = {"loss": loss, **parts, "gradient_norm": updated.gradient_norm, **calls}
        new_state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=updated.params,
            batch_stats=batch_stats,
            opt_state=updated.opt_state,
            gradient=None if state.gradient is None else gradient,
        )
        return new_state, metrics

    return train_step


def jit_train_step(train_step: TrainStep) -> Any:
    """Jit a step. It takes the state's buffers and writes the new state into them.

    Unused arguments are kept: of the last gradient only its memory is used.
    """
    return jax.jit(train_step, donate_argnums=0, keep_unused=True)


def _magnitudes(batch: Batch | WaveformBatch, config: RunConfig) -> tuple[jax.Array, jax.Array]:
    if isinstance(batch, WaveformBatch):
        return magnitudes_of(batch, config.signal, config.sequences)
    mix_BSF, voice_BTF = (_at_least_float32(jnp.asarray(mag)) for mag in batch)
    return mix_BSF, voice_BTF


def _at_least_float32(mag: jax.Array) -> jax.Array:
    return mag.astype(jnp.promote_types(mag.dtype, jnp.float32))


def compile_train_step(
    config: RunConfig, state: TrainState, like: Batch | WaveformBatch | None = None
) -> tuple[Any, float]:
    """Compile the step ahead of time, with the state's buffers donated; return it and the seconds that it took.

    The step takes batches `like` the one given, and float32 magnitudes where none is.
    """
    batch = jax.eval_shape(lambda: zero_batch(config) if like is None else like)
    start = time.perf_counter()
    compiled = jit_train_step(make_train_step(config)).lower(state, batch).compile()
    return compiled, time.perf_counter() - start


def zero_batch(config: RunConfig) -> Batch:
    """Return a batch of silence, of the shape that the config's training takes."""
    size, sequences, bins = config.training.batch_size, config.sequences, config.signal.bins
    return Batch(jnp.zeros((size, sequences.frames, bins)), jnp.zeros((size, sequences.target_frames, bins)))


def fit(
    state: TrainState,
    train_step: TrainStep,
    batches: Iterable[Batch | WaveformBatch],
    on_step: Callable[[int, dict[str, float]], None],
    save_due: Callable[[int], bool] = lambda step: False,
    save: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Run a step on each batch, and report each step once it is done.

    A step's metrics are fetched while the next one already runs, so that the device does not wait for the host.

    Args:
        state: where to start; its buffers are given up.
        train_step: compiled, see `compile_train_step`.
        batches: one for each step that is to be done.
        on_step: called in order with each step's number, from 1, and its metrics.
        save_due: whether to save after the step of that number.
        save: called with the state after such a step, all steps up to it reported. It must not keep the state: the next
            step takes its buffers.

    Returns:
        The state after the last batch.

    Raises:
        NonFiniteLossError: after a step whose loss is NaN or infinite; nothing is saved from that step on.
    """
    done = int(state.step)
    unreported: list[tuple[int, Metrics]] = []

    def report(keep: int) -> None:
        while len(unreported) > keep:
            step, metrics = unreported.pop(0)
            values = {name: float(value) for name, value in metrics.items()}
            if not np.isfinite(values["loss"]):
                raise NonFiniteLossError(step, values["loss"])
            on_step(step, values)

    for batch in batches:
        state, metrics = train_step(state, batch)
        done += 1
        unreported.append((done, metrics))
        due = save_due(done)
        report(keep=0 if due else 1)
        if due:
            save(state)
    report(keep=0)
    return state
