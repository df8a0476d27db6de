"""Equal blocks one after the other: compiled once and run in a loop, or each by itself."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def over_blocks(
    apply: Callable[[jax.Array, Any, int], tuple[jax.Array, Any]],
    x: jax.Array,
    blocks_L: Any,
    dilations: tuple[int, ...],
    unrolled: bool,
) -> tuple[jax.Array, Any]:
    """Apply L blocks in turn.

    Args:
        apply: (x, block, dilation) to the next x and what is to be returned of each block.
        x: what the first one takes.
        blocks_L: a tree of arrays with a leading axis of L ≥ 1 blocks.
        dilations: of the blocks, taken in turn. They are part of the program: where they differ, there is no loop.
        unrolled: compile each block by itself in any case.
    """
    if len(set(dilations)) == 1 and not unrolled:
        return jax.lax.scan(lambda x, block: apply(x, block, dilations[0]), x, blocks_L)
    found = []
    for layer in range(len(jax.tree.leaves(blocks_L)[0])):
        block = jax.tree.map(lambda array_L, layer=layer: array_L[layer], blocks_L)
        x, value = apply(x, block, dilations[layer % len(dilations)])
        found.append(value)
    return x, jax.tree.map(lambda *values: jnp.stack(values), *found)
