"""The gated recurrent unit with both bias vectors, scanned over time, as in cuDNN and PyTorch.

r_t = σ(W_r x_t + b_r + U_r h_{t-1} + c_r)
z_t = σ(W_z x_t + b_z + U_z h_{t-1} + c_z)
n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + c_n))
h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1},   h_0 = 0
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Gru(nn.Module):
    """One direction of a GRU layer. The gates lie in the order r, z, n along the last axis of each parameter."""

    hidden: int
    reverse: bool = False
    """Run from the last step to the first; outputs stay at the step that they belong to."""

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states h_BTH of the input sequence x_BTD."""
        width = 3 * self.hidden
        input_kernel = self.param("input_kernel", nn.initializers.xavier_normal(), (x_BTD.shape[-1], width))
        input_bias = self.param("input_bias", nn.initializers.zeros, (width,))
        recurrent_kernel = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.hidden, width))
        recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, (width,))
        gates_TBG = jnp.swapaxes(x_BTD, 0, 1) @ input_kernel + input_bias
        h_TBH = gru_scan(gates_TBG, recurrent_kernel, recurrent_bias, self.reverse)
        return jnp.swapaxes(h_TBH, 0, 1)


def gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_HG: jax.Array, recurrent_bias_G: jax.Array, reverse: bool = False
) -> jax.Array:
    """Return the hidden states h_TBH for input projections W x + b already computed (G = 3H: r, z, n)."""
    hidden = recurrent_kernel_HG.shape[0]

    def step(h_BH: jax.Array, gates_BG: jax.Array) -> tuple[jax.Array, jax.Array]:
        recurrent_BG = h_BH @ recurrent_kernel_HG + recurrent_bias_G
        r_BH, z_BH = jnp.split(nn.sigmoid(gates_BG[:, : 2 * hidden] + recurrent_BG[:, : 2 * hidden]), 2, axis=-1)
        n_BH = jnp.tanh(gates_BG[:, 2 * hidden :] + r_BH * recurrent_BG[:, 2 * hidden :])
        h_BH = (1 - z_BH) * n_BH + z_BH * h_BH
        return h_BH, h_BH

    start_BH = jnp.zeros((gates_TBG.shape[1], hidden), gates_TBG.dtype)
    return jax.lax.scan(step, start_BH, gates_TBG, reverse=reverse)[1]
