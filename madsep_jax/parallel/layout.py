"""Where the arrays of a training lie: on which devices, in how many parts."""

import time
from typing import Any, Protocol

import jax
import numpy as np

from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.parallel.devices import sharing_devices
from madsep_jax.parallel.on_mesh import MeshLayout
from madsep_jax.parallel.pmapped import PmapLayout
from madsep_jax.parallel.program import Program
from madsep_jax.train.state import TrainState


class Layout(Protocol):
    """The devices of a training, and the program that runs on them."""

    devices: list[jax.Device]
    """Of all processes; those of one are neighbours."""
    compiles_ahead: bool
    """Whether the program can be compiled before its first call: pmap's cannot where there are several processes."""

    def place_state(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, onto the devices."""

    def place_batch(self, batch: Any) -> Any:
        """Put this process's sequences of a batch onto its devices."""

    def whole_state(self, placed: TrainState) -> TrainState:
        """Return the state as a training on one device has it."""

    def jit(self, like: TrainState) -> Any:
        """Return the jitted program for states placed as `like`; it takes their buffers."""


def make_layout(config: RunConfig, parallel: ParallelConfig, program: Program | None = None) -> Layout:
    """Return the layout that is asked for.

    Raises:
        InputError: where there are not so many devices, or they cannot share the batch equally.
    """
    program = program or Program(parallel.steps_per_call)
    devices = sharing_devices(config, parallel)
    if parallel.style == "pmap":
        return PmapLayout(config, devices, program)
    return MeshLayout(config, devices, program, parallel.parameters)


def compile_layout(layout: Layout, state: TrainState, batch: Any) -> tuple[Any, float]:
    """Compile ahead of time, for placed arguments; return the program and the seconds that it took.

    Calls with fewer steps than `batch` has, as at the end of a training, are compiled when they come. Where nothing can
    be compiled ahead of time, the first call does it, by XLA's default options, and 0 seconds are returned.
    """
    jitted = layout.jit(state)
    if not layout.compiles_ahead:
        return jitted, 0.0
    start = time.perf_counter()
    compiled = {_shapes(batch): jitted.lower(state, batch).compile(compiler_options())}
    seconds = time.perf_counter() - start

    def call(state: TrainState, batch: Any) -> Any:
        shapes = _shapes(batch)
        if shapes not in compiled:
            compiled[shapes] = jitted.lower(state, batch).compile(compiler_options())
        return compiled[shapes](state, batch)

    return call, seconds


def _shapes(batch: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
