"""What the machine can do at most, as measured: operations a second, and bytes a second."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from experiments.benchmarks.case import Precision
from experiments.benchmarks.rounds import timed
from experiments.benchmarks.throughput.ours import timed_in

_CPU_SIZES = (1024, 2048, 3072)
_ACCELERATOR_SIZES = (2048, 4096, 8192)
#: Without optimisations a large product takes many seconds.
_LEAST_SIZES, _LEAST_COPY = (64, 128, 256), 2**20
_CPU_COPY = 2**27
_ACCELERATOR_COPY = 2**29

#: For each matrix product and for the copy, where nothing else is said.
_SECONDS = 1.0


@dataclass(frozen=True)
class Peak:
    """Of one precision."""

    gflop_per_s: float
    """Of the fastest of some large matrix products."""
    matrix_size: int
    """Of that product."""
    copy_gb_per_s: float
    """Bytes read and written in passing over a large array, 1e9 a second."""


def measure_peak(precision: Precision, seconds: float) -> Peak:
    """Measure matrix products of several sizes, and a copy, for about so many seconds each."""
    with timed_in(precision):
        speeds = {MatrixProduct(precision, size).gflop_per_s(seconds): size for size in _sizes()}
        best = max(speeds)
        x = jnp.ones(_copy_size(), _dtype(precision))
        copy_s = _fastest_copy(x, seconds)
        return Peak(best, speeds[best], 2 * x.nbytes / copy_s / 1e9)


def best_peaks(precisions: Sequence[Precision], before: Mapping[str, Peak]) -> dict[str, Peak]:
    """Measure the peak of each precision; return the faster of it and that of before: the machine's speed moves."""
    now: dict[str, Peak] = {precision: measure_peak(precision, _SECONDS) for precision in precisions}
    both = {name: [peaks[name] for peaks in (now, before) if name in peaks] for name in {**now, **before}}
    return {name: max(found, key=lambda peak: peak.gflop_per_s) for name, found in both.items()}


class MatrixProduct:
    """A product of two large matrices, compiled once: what the machine can do now.

    On a machine that others use as well that is less at times, and not equally so for every program.
    """

    def __init__(self, precision: Precision, size: int | None = None) -> None:
        """Compile it; `timed_in(precision)` has to be entered. By default of the middle size."""
        size = size or _sizes()[len(_sizes()) // 2]
        self._factor = jax.random.uniform(jax.random.key(0), (size, size), _dtype(precision))
        self._product = jax.jit(jnp.matmul).lower(self._factor, self._factor).compile()
        self._gflop = 2 * size**3 / 1e9
        self._run()

    def gflop_per_s(self, seconds: float) -> float:
        """Return the speed of the fastest product within so many seconds."""
        return self._gflop / _shortest(self._run, seconds)

    def _run(self) -> None:
        self._product(self._factor, self._factor).block_until_ready()


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _unoptimised() -> bool:
    return bool(jax.config.read("jax_disable_most_optimizations"))


def _copy_size() -> int:
    if _unoptimised():
        return _LEAST_COPY
    return _CPU_COPY if _on_cpu() else _ACCELERATOR_COPY


def _sizes() -> tuple[int, ...]:
    if _unoptimised():
        return _LEAST_SIZES
    return _CPU_SIZES if _on_cpu() else _ACCELERATOR_SIZES


def _dtype(precision: Precision) -> type:
    return {"float64": jnp.float64, "bfloat16": jnp.bfloat16}.get(precision, jnp.float32)


def _fastest_copy(x: jax.Array, seconds: float) -> float:
    """Return the shortest time of writing x + 1 over x, so that no memory has to be found for the result first."""
    add_one = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()

    def run() -> None:
        nonlocal x
        x = jax.block_until_ready(add_one(x))

    run()
    return _shortest(run, seconds)


def _shortest(run: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a run, within so many seconds."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        shortest = min(shortest, timed(run)[1])
    return shortest
