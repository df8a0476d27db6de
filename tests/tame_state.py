"""A start from which rounding does not lead trainings apart, so that they can be compared to many digits."""

import jax
import jax.numpy as jnp

_MASK_BIASES = (".params['masker']['mask_layer']['bias']", ".params['denoiser']['decoder']['bias']")


def tame_state(state, dtype):
    """The state in a type, with masks of about 4 and no bias at 0.

    Where a mask is near 0 the divergence is so steep, 1e6, that rounding is magnified as much. And a bias that starts
    from 0 would be no more than its few updates, and as inexact as those.
    """

    def tame(path, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        name, leaf = jax.tree_util.keystr(path), leaf.astype(dtype)
        if name in _MASK_BIASES:
            return leaf + 4
        return leaf + 0.1 if name.startswith(".params") and "bias" in name else leaf

    return jax.tree_util.tree_map_with_path(tame, state)
