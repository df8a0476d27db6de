"""A batch that several devices share: what has to be computed over all of it.

Inside `jax.shard_map` or `jax.pmap` over an axis named `DATA_AXIS` each device holds an equal part of the batch's
sequences. BatchNorm's moments, the end of the recurrent inference and the dropout are those of the whole batch there,
so that a training is the same on any number of devices. Outside such an axis, a batch is whole and nothing changes.

Gradients are taken on each device of its own loss, and added up afterwards. The sum's own gradient (JAX's rule: the sum
of the cotangents of all devices) carries over to each device what the others' losses owe to its sequences.
"""

import jax

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


def total(part: jax.Array) -> jax.Array:
    """Add up what each device has computed from its sequences."""
    return jax.lax.psum(part, DATA_AXIS) if is_shared() else part


def average(part: jax.Array) -> jax.Array:
    """Average what each device has averaged over its sequences."""
    return jax.lax.pmean(part, DATA_AXIS) if is_shared() else part


def own_part(whole: jax.Array, axis: int = 0) -> jax.Array:
    """Return this device's sequences of an array that all devices have whole, cut along an axis."""
    if not is_shared():
        return whole
    size = whole.shape[axis] // shares()
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(DATA_AXIS) * size, size, axis)
