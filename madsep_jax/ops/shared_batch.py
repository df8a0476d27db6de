"""A batch that several devices share: what has to be computed over all of it.

Inside `jax.shard_map` or `jax.pmap` over an axis named `DATA_AXIS` each device holds an equal part of the batch's
sequences. BatchNorm's moments, the end of the recurrent inference and the dropout are those of the whole batch there,
so that a training is the same on any number of devices. Outside such an axis, a batch is whole and nothing changes.

Gradients are taken on each device of its own loss, and added up afterwards. The sum's own gradient (JAX's rule: the sum
of the cotangents of all devices) carries over to each device what the others' losses owe to its sequences.
"""

from typing import Any

import jax
import jax.numpy as jnp

#: Name of the axis over which devices share a batch.
DATA_AXIS = "data"


def is_shared() -> bool:
    """Whether the code that is traced now runs on several devices that share a batch."""
    try:
        jax.lax.axis_index(DATA_AXIS)
    except NameError:  # what JAX raises for an axis that is not there
        return False
    return True


def shares() -> int:
    """Return the number of devices that share the batch; 1 where it is whole."""
    return jax.lax.psum(1, DATA_AXIS) if is_shared() else 1


def total(*parts: jax.Array) -> Any:
    """Add up what each device has computed from its sequences; arrays of equal shapes in one exchange."""
    if not is_shared():
        return parts if len(parts) > 1 else parts[0]
    return tuple(jax.lax.psum(jnp.stack(parts), DATA_AXIS)) if len(parts) > 1 else jax.lax.psum(parts[0], DATA_AXIS)


def average(part: jax.Array) -> jax.Array:
    """Average what each device has averaged over its sequences."""
    return jax.lax.pmean(part, DATA_AXIS) if is_shared() else part


def own_part(whole: jax.Array, axis: int = 0) -> jax.Array:
    """Return this device's sequences of an array that all devices have whole, cut along an axis."""
    if not is_shared():
        return whole
    size = whole.shape[axis] // shares()
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(DATA_AXIS) * size, size, axis)


def whole_moments(mean_C: jax.Array, var_C: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance of the whole batch from those of this device's sequences.

    They are gathered from all devices in one exchange, and put together without cancellation (Chan, Golub, LeVeque
    1983); a sum of means and squares would need no more values than two a channel, and lose digits of the variance.
    """
    if not is_shared():
        return mean_C, var_C
    means_NC, vars_NC = jnp.swapaxes(jax.lax.all_gather(jnp.stack([mean_C, var_C]), DATA_AXIS), 0, 1)
    mean_C = jnp.mean(means_NC, 0)
    return mean_C, jnp.mean(vars_NC + jnp.square(means_NC - mean_C), 0)
