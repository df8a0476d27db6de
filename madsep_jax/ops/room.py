"""Buffers that a loop writes over.

XLA gives equal constants one buffer and makes it early. A buffer of zeros that a loop of the gradient writes over would
so be made before the forward pass, lie there until then, and be copied for each loop that writes over it. These are not
constant: each is filled with a number that is computed just before the buffer is wanted. Which number does not matter.
"""

import jax
import jax.numpy as jnp


def rooms(after: jax.Array, *shapes: tuple[int, ...]) -> tuple[jax.Array, ...]:
    """Return a buffer of each shape, with anything in it.

    Args:
        after: an array that is computed before the buffers are wanted; they have its type.
        shapes: at most as many as the array's last axis is long.
    """
    place = tuple(size // 2 for size in after.shape[:-1])  # an edge may be a known margin
    return tuple(jnp.broadcast_to(after[(*place, number)], shape) for number, shape in enumerate(shapes))
