"""What the machine can do at most, as measured: operations a second, and bytes a second."""

import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from experiments.timing.cases import Precision
from experiments.timing.precision import computing_in

_CPU_SIZES = (1024, 2048, 3072)
_ACCELERATOR_SIZES = (2048, 4096, 8192)
_CPU_COPY = 2**27
_ACCELERATOR_COPY = 2**29


@dataclass(frozen=True)
class Peak:
    """Of one precision."""

    gflop_per_s: float
    """Of the fastest of some large matrix products."""
    matrix_size: int
    """Of that product."""
    copy_gb_per_s: float
    """Bytes read and written in passing over a large array, 1e9 a second."""


def measure_peak(precision: Precision, seconds: float = 1.0) -> Peak:
    """Measure matrix products of several sizes, and a copy, for about so many seconds each."""
    on_cpu = jax.default_backend() == "cpu"
    with computing_in(precision):
        dtype = jnp.float64 if precision == "float64" else jnp.float32
        speeds = {}
        for size in _CPU_SIZES if on_cpu else _ACCELERATOR_SIZES:
            a = jax.random.uniform(jax.random.key(0), (size, size), dtype)
            speeds[2 * size**3 / _fastest(jax.jit(jnp.matmul).lower(a, a).compile(), (a, a), seconds) / 1e9] = size
        best = max(speeds)
        x = jnp.ones(_CPU_COPY if on_cpu else _ACCELERATOR_COPY, dtype)
        copy_s = _fastest_copy(x, seconds)
        return Peak(best, speeds[best], 2 * x.nbytes / copy_s / 1e9)


def _fastest_copy(x: jax.Array, seconds: float) -> float:
    """Return the shortest time of writing x + 1 over x, so that no memory has to be found for the result first."""
    add_one = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
    x = jax.block_until_ready(add_one(x))
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        x = jax.block_until_ready(add_one(x))
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def _fastest(compiled: Any, arguments: tuple[jax.Array, ...], seconds: float) -> float:
    """Return the shortest time of one call."""
    compiled(*arguments).block_until_ready()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        compiled(*arguments).block_until_ready()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
