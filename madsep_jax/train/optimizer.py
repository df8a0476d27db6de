"""The optimiser: the learning rate of each step by optax's schedules, gradient clipping and Adam.

optax's chain of clipping and Adam defines what is computed. It makes an update of the gradient and adds that to the
parameters; on a CPU, XLA keeps several of these as arrays of the parameters' size. In the fused form the clipping is a
factor inside the moments, and the update is never written: each parameter array is a pass for the first moment, one for
the second, and one for the parameters.

Kingma, Ba: Adam: A Method for Stochastic Optimization, 2015 (arXiv:1412.6980).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from madsep_jax.config.io import override
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import TrainingConfig
from madsep_jax.errors import InputError
from madsep_jax.ops.choice import runs_fast


class Updated(NamedTuple):
    """What an optimiser's step leaves."""

    params: Any
    opt_state: Any
    gradient_norm: jax.Array
    """Global L2 norm before clipping."""


#: Numbers of an array, at most, that is small.
_SMALL = 100_000

#: From (gradient, opt_state, params) to what they become.
Update = Callable[[Any, Any, Any], Updated]


def optax_update(optimizer: optax.GradientTransformation) -> Update:
    """Return the step of any optax optimiser."""

    def update(gradient: Any, opt_state: Any, params: Any) -> Updated:
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return Updated(optax.apply_updates(params, updates), opt_state, optax.tree.norm(gradient))

    return update


def fused_update(config: TrainingConfig) -> Update:
    """Return the step of `optax.chain(clip_by_global_norm, adam)`, which takes and leaves that chain's own state."""
    b1, b2 = config.adam_b1, config.adam_b2
    constant_or_schedule = learning_rate(config)

    def update(gradient: Any, opt_state: Any, params: Any) -> Updated:
        clip_state, (adam, rate_state) = opt_state
        norm = _norm(gradient)
        scale = config.gradient_clip / jnp.maximum(norm, config.gradient_clip)
        count = optax.safe_increment(adam.count)
        if callable(constant_or_schedule):
            largest_move = constant_or_schedule(rate_state.count)
            rate_state = rate_state._replace(count=optax.safe_increment(rate_state.count))
        else:
            largest_move = constant_or_schedule
        rate = largest_move / (1 - b1**count)
        unbias = 1 / (1 - b2**count)

        def first(mu: jax.Array, slope: jax.Array) -> jax.Array:
            return (b1 * mu + (1 - b1) * (scale * slope)).astype(mu.dtype)

        def second(nu: jax.Array, slope: jax.Array) -> jax.Array:
            return (b2 * nu + (1 - b2) * jnp.square(scale * slope)).astype(nu.dtype)

        def move(param: jax.Array, mu: jax.Array, nu: jax.Array) -> jax.Array:
            return (param - rate * mu / (jnp.sqrt(unbias * nu) + config.adam_epsilon)).astype(param.dtype)

        mu = jax.tree.map(first, adam.mu, gradient)
        nu = jax.tree.map(second, adam.nu, gradient)
        params = jax.tree.map(move, params, mu, nu)
        adam = adam._replace(count=count, mu=mu, nu=nu)
        return Updated(params, (clip_state, (adam, rate_state)), norm)

    return update


def _norm(tree: Any) -> jax.Array:
    """Return the global L2 norm. Small arrays go in one piece: XLA compiles a loop or two for each sum by itself."""
    leaves = jax.tree.leaves(tree)
    large = [leaf for leaf in leaves if leaf.size > _SMALL]
    small = [leaf.ravel() for leaf in leaves if leaf.size <= _SMALL]
    parts = [*large, jnp.concatenate(small)] if small else large
    return jnp.sqrt(sum(jnp.sum(jnp.square(part)) for part in parts))


def learning_rate(config: TrainingConfig) -> float | optax.Schedule:
    """Return the learning rate: a number where it is constant, else the function of the steps done before.

    Raises:
        InputError: where it depends on the length of the training and that is not known, or is no longer than the
            warm-up.
    """
    steps, rate = config.schedule.warmup_steps, _decay(config)
    if steps:
        warmup = optax.linear_schedule(config.learning_rate / (steps + 1), config.learning_rate, steps)
        after = rate if callable(rate) else optax.constant_schedule(rate)
        rate = optax.join_schedules([warmup, after], [steps])
    if not callable(rate):
        return rate
    # Of an int32, as the count is, optax computes the rate in float32 even where everything else is in float64.
    schedule = rate
    return lambda count: schedule(jnp.asarray(count, jnp.result_type(float)))


def _decay(config: TrainingConfig) -> float | optax.Schedule:
    """Return the rate after the warm-up, as a function of the steps since then."""
    schedule, largest, last = config.schedule, config.learning_rate, config.schedule.final_learning_rate
    match schedule.kind:
        case "cosine":
            return optax.cosine_decay_schedule(largest, _decay_steps(config), alpha=last / largest)
        case "exponential":
            return optax.exponential_decay(largest, _decay_steps(config), last / largest, end_value=last)
        case "step":
            every, factor = schedule.step_every, schedule.step_factor
            return optax.exponential_decay(largest, every, factor, staircase=True, end_value=last)
    return largest


def _decay_steps(config: TrainingConfig) -> int:
    steps, warmup = config.schedule.steps or config.steps, config.schedule.warmup_steps
    if steps is None:
        raise InputError("ScheduleConfig.steps: found None, expected the steps of the training, which has only epochs")
    if steps <= warmup:
        raise InputError(f"ScheduleConfig.warmup_steps: found {warmup}, expected less than the training's {steps}")
    return steps - warmup


def with_schedule_steps(config: RunConfig, total_steps: int) -> RunConfig:
    """Return the config of a training of so many steps, with its schedule's length written down where it matters."""
    schedule = config.training.schedule
    if not schedule.needs_steps or schedule.steps is not None:
        return config
    return override(config, {"training.schedule.steps": total_steps})


def current_learning_rate(rate: float | optax.Schedule, opt_state: Any) -> jax.Array:
    """Return the rate of the step that the state of `madsep_jax.train.optimizer.make_optimizer` comes to next."""
    return jnp.asarray(rate(opt_state[1][0].count) if callable(rate) else rate, jnp.result_type(float))


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Return the paper's optimiser: clip the global L2 norm of the gradient, then Adam (sec. III-B).

    Raises:
        InputError: where the learning rate's schedule needs the length of the training.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.adam(learning_rate(config), b1=config.adam_b1, b2=config.adam_b2, eps=config.adam_epsilon),
    )


def make_update(config: RunConfig) -> Update:
    """Return the optimiser's step as the config's operations choose: optax's chain, or its fused form."""
    if runs_fast("optimizer", config.compute):
        return fused_update(config.training)
    return optax_update(make_optimizer(config.training))
