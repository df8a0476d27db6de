"""The gated recurrent unit with both bias vectors, scanned over time, as in cuDNN and PyTorch.

r_t = σ(W_r x_t + b_r + U_r h_{t-1} + c_r)
z_t = σ(W_z x_t + b_z + U_z h_{t-1} + c_z)
n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + c_n))
h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1},   h_0 = 0
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.choice import recomputed, runs_fast
from madsep_jax.ops.fast_gru import KERNEL_BY_ROWS, fast_gru_scan, row_gru_scan, with_kernels_by_rows
from madsep_jax.ops.gru import gru_scan


class Gru(nn.Module):
    """One direction of a GRU layer. The gates lie in the order r, z, n along the last axis of each parameter."""

    hidden: int
    reverse: bool = False
    """Run from the last step to the first; outputs stay at the step that they belong to."""
    compute: ComputeConfig = ComputeConfig()
    """Which form of the recurrence runs, and what is kept for its gradient."""

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states h_BTH of the input sequence x_BTD."""
        width = 3 * self.hidden
        input_kernel = self.param("input_kernel", nn.initializers.xavier_normal(), (x_BTD.shape[-1], width))
        input_bias = self.param("input_bias", nn.initializers.zeros, (width,))
        by_rows = self.has_variable("params", KERNEL_BY_ROWS)
        if by_rows:
            recurrent_kernel: jax.Array = self.get_variable("params", KERNEL_BY_ROWS)
        else:
            recurrent_kernel = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.hidden, width))
        recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, (width,))
        gates_TBG = jnp.swapaxes(x_BTD, 0, 1) @ input_kernel + input_bias
        fast = runs_fast("gru_scan", self.compute)
        scan = row_gru_scan if by_rows else fast_gru_scan if fast else gru_scan
        h_TBH = recomputed(scan, self.compute, static_argnums=3)(
            gates_TBG, recurrent_kernel, recurrent_bias, self.reverse
        )
        return jnp.swapaxes(h_TBH, 0, 1)


def evaluation_layout(variables: dict[str, Any], compute: ComputeConfig) -> dict[str, Any]:
    """Return variables of a model with such layers, laid out for their fast form where that is to run."""
    return with_kernels_by_rows(variables) if runs_fast("gru_scan", compute) else variables
