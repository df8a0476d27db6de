"""The recurrence of a GRU for evaluation, where its kernel is too large for the cache.

Each step reads the whole recurrent kernel for a few sequences. On a CPU the product runs at the speed of memory only
where it reads the kernel along its rows, one row for each gate of each unit: with 1488 units (MaD's decoder) and 4
sequences a step takes 0.5 ms so, and 0.7 to 1.0 ms otherwise. To transpose the kernel takes as long as 20 steps, which
is why training, whose kernel changes, does without.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

#: Smaller kernels stay in the cache, where the other product is the faster one.
_LARGE_BYTES = 16 * 2**20
_STORED = "recurrent_kernel"
KERNEL_BY_ROWS = "recurrent_kernel_by_rows"


def with_kernels_by_rows(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with each large recurrent kernel (H, 3H) replaced by its transpose, named `KERNEL_BY_ROWS`."""
    result: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, Mapping):
            result[name] = with_kernels_by_rows(value)
        elif name == _STORED and value.ndim == 2 and value.size * value.dtype.itemsize > _LARGE_BYTES:
            result[KERNEL_BY_ROWS] = jnp.transpose(value)
        else:
            result[name] = value
    return result


def row_gru_scan(
    gates_TBG: jax.Array, recurrent_kernel_GH: jax.Array, recurrent_bias_G: jax.Array, reverse: bool = False
) -> jax.Array:
    """Return what `madsep_jax.ops.gru.gru_scan` does, for the transposed kernel; states are columns, (H, B)."""
    x_r_THB, x_z_THB, x_n_THB = jnp.split(jnp.swapaxes(gates_TBG, 1, 2), 3, axis=1)
    r_bias_H1, z_bias_H1, n_bias_H1 = jnp.split(recurrent_bias_G[:, None], 3)

    def step(h_HB: jax.Array, from_x_HB: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        x_r_HB, x_z_HB, x_n_HB = from_x_HB
        h_r_HB, h_z_HB, h_n_HB = jnp.split(recurrent_kernel_GH @ h_HB, 3)
        r_HB = jax.nn.sigmoid(x_r_HB + h_r_HB)
        z_HB = jax.nn.sigmoid(x_z_HB + h_z_HB)
        n_HB = jnp.tanh(x_n_HB + r_HB * (h_n_HB + n_bias_H1))
        h_HB = (1 - z_HB) * n_HB + z_HB * h_HB
        return h_HB, h_HB

    scanned = (x_r_THB + r_bias_H1, x_z_THB + z_bias_H1, x_n_THB)
    h_THB = jax.lax.scan(step, jnp.zeros_like(x_r_THB[0]), scanned, reverse=reverse)[1]
    return jnp.swapaxes(h_THB, 1, 2)
