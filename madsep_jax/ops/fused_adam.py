"""Gradient clipping and Adam in the fewest passes over memory; optax's chain of both defines what is computed.

The chain clips the gradient, makes an update of it and adds that to the parameters; on a CPU, XLA keeps several of
these as arrays of the parameters' size. Here the clipping is a factor inside the moments, and the update is never
written: each parameter array is a pass for the first moment, one for the second, and one for the parameters.

Kingma, Ba: Adam: A Method for Stochastic Optimization, 2015 (arXiv:1412.6980).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from madsep_jax.config import TrainingConfig
from madsep_jax.schedule import learning_rate


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
