"""The recurrence of a gated recurrent unit over time, as it is defined; `madsep_jax.ops.fast_gru` is its fast form."""

import jax
import jax.numpy as jnp


def gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool = False
) -> jax.Array:
    """Return the hidden states h_TBH of a GRU with both bias vectors, which starts from zeros.

    r_t = σ(g_r + U_r h_{t-1} + c_r)
    z_t = σ(g_z + U_z h_{t-1} + c_z)
    n_t = tanh(g_n + r_t ⊙ (U_n h_{t-1} + c_n))
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}

    Args:
        gates_TBG: the input projections g = W x + b of all steps; G = 3H, in the order r, z, n.
        recurrent_kernel_HG: U, transposed.
        recurrent_bias_G: c.
        reverse: run from the last step to the first; states stay at the step that they belong to.
    """
    hidden = recurrent_kernel_HG.shape[0]

    def step(h_BH: jax.Array, gates_BG: jax.Array) -> tuple[jax.Array, jax.Array]:
        recurrent_BG = h_BH @ recurrent_kernel_HG + recurrent_bias_G
        r_BH, z_BH = jnp.split(jax.nn.sigmoid(gates_BG[:, : 2 * hidden] + recurrent_BG[:, : 2 * hidden]), 2, axis=-1)
        n_BH = jnp.tanh(gates_BG[:, 2 * hidden :] + r_BH * recurrent_BG[:, 2 * hidden :])
        h_BH = (1 - z_BH) * n_BH + z_BH * h_BH
        return h_BH, h_BH

    start_BH = jnp.zeros((gates_TBG.shape[1], hidden), gates_TBG.dtype)
    return jax.lax.scan(step, start_BH, gates_TBG, reverse=reverse)[1]
