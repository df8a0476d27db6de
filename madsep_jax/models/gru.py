"""The gated recurrent unit with both bias vectors, scanned over time, as in cuDNN and PyTorch.

r_t = σ(W_r x_t + b_r + U_r h_{t-1} + c_r)
z_t = σ(W_z x_t + b_z + U_z h_{t-1} + c_z)
n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + c_n))
h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1},   h_0 = 0
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.choice import recomputed, runs_fast, target_of
from madsep_jax.ops.fast_gru import KERNEL_BY_ROWS, fast_gru_scan, row_gru_scan, with_kernels_by_rows
from madsep_jax.ops.gru import gru_scan
from madsep_jax.ops.unrolled_gru import FORMS, unrolled_gru_scan


class _ScanArguments(NamedTuple):
    """What a recurrence takes, see `madsep_jax.ops.gru.gru_scan`."""

    gates_TBG: jax.Array
    recurrent_kernel: jax.Array
    recurrent_bias_G: jax.Array


class Gru(nn.Module):
    """One direction of a GRU layer. The gates lie in the order r, z, n along the last axis of each parameter."""

    hidden: int
    reverse: bool = False
    """Run from the last step to the first; outputs stay at the step that they belong to."""
    compute: ComputeConfig = ComputeConfig()
    """Which form of the recurrence runs, and what is kept for its gradient."""

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states h_BTH of the input sequence x_BTD."""
        by_rows = self.has_variable("params", KERNEL_BY_ROWS)
        return jnp.swapaxes(_scan(self.scan_arguments(x_BTD), self.reverse, self.compute, by_rows), 0, 1)

    @nn.compact
    def scan_arguments(self, x_BTD: jax.Array) -> _ScanArguments:
        """Return the input's projections, and the recurrence's parameters."""
        width = 3 * self.hidden
        input_kernel = self.param("input_kernel", nn.initializers.xavier_normal(), (x_BTD.shape[-1], width))
        input_bias = self.param("input_bias", nn.initializers.zeros, (width,))
        if self.has_variable("params", KERNEL_BY_ROWS):
            recurrent_kernel: jax.Array = self.get_variable("params", KERNEL_BY_ROWS)
        else:
            recurrent_kernel = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.hidden, width))
        recurrent_bias = self.param("recurrent_bias", nn.initializers.zeros, (width,))
        gates_TBG = jnp.swapaxes(x_BTD, 0, 1) @ input_kernel + input_bias
        return _ScanArguments(gates_TBG, recurrent_kernel, recurrent_bias)


def both_directions(
    forward: Gru, backward: Gru, forward_BTD: jax.Array, backward_BTD: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the states of two directions of one size, each for its own input, from one scan where that pays.

    The backward one's projections are flipped in time before the scan, and its states after it.
    """
    compute = forward.compute
    form = _accelerator_form(compute)
    if form is None or not FORMS[form].merges:
        return forward(forward_BTD), backward(backward_BTD)
    ahead, back = forward.scan_arguments(forward_BTD), backward.scan_arguments(backward_BTD)
    back = back._replace(gates_TBG=jnp.flip(back.gates_TBG, 0))
    both = jax.tree.map(lambda *arrays: jnp.stack(arrays), ahead, back)
    ahead_TBH, back_TBH = jax.vmap(lambda arguments: _scan(arguments, False, compute))(both)
    return jnp.swapaxes(ahead_TBH, 0, 1), jnp.swapaxes(jnp.flip(back_TBH, 0), 0, 1)


def evaluation_layout(variables: dict[str, Any], compute: ComputeConfig) -> dict[str, Any]:
    """Return variables of a model with such layers, laid out for their fast form where that is to run."""
    by_rows = runs_fast("gru_scan", compute) and _accelerator_form(compute) is None
    return with_kernels_by_rows(variables) if by_rows else variables


def _scan(arguments: _ScanArguments, reverse: bool, compute: ComputeConfig, by_rows: bool = False) -> jax.Array:
    """Run the recurrence in the form that the settings choose; returns h_TBH."""
    form = _accelerator_form(compute)
    if form is not None and not by_rows:
        return recomputed(unrolled_gru_scan, compute, static_argnums=(3, 4))(*arguments, reverse, form)
    fast = runs_fast("gru_scan", compute)
    scan = row_gru_scan if by_rows else fast_gru_scan if fast else gru_scan
    return recomputed(scan, compute, static_argnums=3)(*arguments, reverse)


def _accelerator_form(compute: ComputeConfig) -> str | None:
    """Return the name of the accelerator for which the recurrence is to run in a form of its own, if it is."""
    target = target_of(compute)
    return target if target in FORMS and runs_fast("gru_scan", compute) else None
