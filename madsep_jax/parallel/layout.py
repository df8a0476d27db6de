"""Where the arrays of a training lie: on which devices, in how many parts; and the program that runs there.

jit over a mesh is one program, whose arrays say by `NamedSharding` where they lie. The gradient is computed under
`jax.shard_map`, each device on its own sequences: the models' loops over frames are written for one device's arrays,
and the compiler, left to itself, would gather the batch for them. The optimiser's step is left to the compiler.

pmap, there so that both can be compared, is one program for each device, whose arrays have a first axis of the devices.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.host.compiler import compiler_options
from madsep_jax.ops.choice import target_of
from madsep_jax.ops.shared_batch import DATA_AXIS
from madsep_jax.parallel.devices import place_local, place_whole, sharing_devices
from madsep_jax.parallel.program import Program
from madsep_jax.train.batch import TrainState
from madsep_jax.train.gradient import GradientOf
from madsep_jax.train.step import make_train_step

_REPLICATED = PartitionSpec()


class Layout(Protocol):
    """The devices of a training, and the program that runs on them."""

    devices: list[jax.Device]
    """Of all processes; those of one are neighbours."""
    compiles_ahead: bool
    """Whether the program can be compiled before its first call: pmap's cannot where there are several processes."""
    compiler_options: dict[str, int]
    """For the config's target."""

    def place_state(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, onto the devices."""

    def place_batch(self, batch: Any) -> Any:
        """Put this process's sequences of a batch onto its devices."""

    def shapes(self, state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        """Return shapes of a state and of all devices' batch as they lie there; the devices need not be there."""

    def whole_state(self, placed: TrainState) -> TrainState:
        """Return the state as a training on one device has it."""

    def jit(self, like: TrainState) -> Any:
        """Return the jitted program for states placed as `like`; it takes their buffers."""


def make_layout(
    config: RunConfig,
    parallel: ParallelConfig,
    program: Program | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Layout:
    """Return the layout that is asked for, on the devices that are given, or else on those of the processes.

    The given ones may be those of a topology, for which programs can be compiled alone.

    Raises:
        InputError: where there are not so many devices, or they cannot share the batch equally.
    """
    program = program or Program(parallel.steps_per_call)
    sharing = sharing_devices(config, parallel, devices)
    if parallel.style == "pmap":
        return _PmapLayout(config, sharing, program)
    return _MeshLayout(config, sharing, program, parallel.parameters == "sharded")


def compile_step(layout: Layout, state: TrainState, batch: Any) -> Any:
    """Compile the program for placed arguments, or for `Layout.shapes` of them."""
    return layout.jit(state).lower(state, batch).compile(layout.compiler_options)


def compile_layout(
    layout: Layout, state: TrainState, batch: Any, check: Callable[[Any], None] = lambda compiled: None
) -> tuple[Any, float]:
    """Compile ahead of time, for placed arguments; return the program and the seconds that it took.

    What is compiled now goes through `check`, which may raise.

    Calls with fewer steps than `batch` has, as at the end of a training, are compiled when they come. Where nothing can
    be compiled ahead of time, the first call does it, by XLA's default options, and 0 seconds are returned.
    """
    if not layout.compiles_ahead:
        return layout.jit(state), 0.0
    compiled: dict[Any, Any] = {}

    def program_for(state: TrainState, batch: Any) -> Any:
        shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(batch))
        if shapes not in compiled:
            compiled[shapes] = compile_step(layout, state, batch)
        return compiled[shapes]

    start = time.perf_counter()
    check(program_for(state, batch))
    return lambda state, batch: program_for(state, batch)(state, batch), time.perf_counter() - start


class _MeshLayout(Layout):
    """Devices in one row; each has its part of the batch, and all of the state or a part."""

    compiles_ahead = True

    def __init__(self, config: RunConfig, devices: list[jax.Device], program: Program, sharded: bool) -> None:
        self.devices = devices
        self.compiler_options = compiler_options(target_of(config.compute))
        self._config, self._program, self._sharded = config, program, sharded
        self._mesh = Mesh(np.array(devices), (DATA_AXIS,))
        self._of_batch = NamedSharding(self._mesh, PartitionSpec(*(None,) * program.batch_axis, DATA_AXIS))
        # Jitted once: a new function would be compiled again at each save.
        self._gather = jax.jit(lambda state: state, out_shardings=NamedSharding(self._mesh, _REPLICATED))

    def place_state(self, state: TrainState) -> TrainState:
        return jax.tree.map(place_whole, state, self._shardings(state))

    def place_batch(self, batch: Any) -> Any:
        return jax.tree.map(lambda array: place_local(array, self._of_batch), batch)

    def shapes(self, state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        def shape(leaf: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        of_batch = jax.tree.map(lambda array: shape(array, self._of_batch), batch)
        return jax.tree.map(shape, state, self._shardings(state)), of_batch

    def whole_state(self, placed: TrainState) -> TrainState:
        return self._gather(placed) if self._sharded else placed

    def jit(self, like: TrainState) -> Any:
        step = self._program.of(make_train_step(self._config, self._share))
        out = (self._shardings(like), NamedSharding(self._mesh, _REPLICATED))
        return jax.jit(step, donate_argnums=0, keep_unused=True, out_shardings=out)

    def _share(self, gradient_of: GradientOf) -> GradientOf:
        if len(self.devices) == 1:
            return gradient_of
        # The parameters' gradient is added up by hand (`madsep_jax.ops.shared_batch`), which the check would refuse.
        return jax.shard_map(
            gradient_of,
            mesh=self._mesh,
            in_specs=(_REPLICATED, PartitionSpec(DATA_AXIS)),
            out_specs=_REPLICATED,
            check_vma=False,
        )

    def _shardings(self, state: TrainState) -> Any:
        return jax.tree.map(lambda leaf: NamedSharding(self._mesh, self._spec(leaf)), state)

    def _spec(self, leaf: Any) -> PartitionSpec:
        """Cut the longest axis that the devices divide, but for that of the seeds."""
        first = int(self._program.seeds > 1)
        shape = np.shape(leaf)
        axes = [axis for axis in range(first, len(shape)) if shape[axis] and shape[axis] % len(self.devices) == 0]
        if not self._sharded or not axes:
            return _REPLICATED
        longest = max(axes, key=lambda axis: shape[axis])
        return PartitionSpec(*(None,) * longest, DATA_AXIS)


class _PmapLayout(Layout):
    """Each device has its part of the batch and all of the state."""

    def __init__(self, config: RunConfig, devices: list[jax.Device], program: Program) -> None:
        self.devices = devices
        self.compiler_options = compiler_options(target_of(config.compute))
        self.compiles_ahead = jax.process_count() == 1
        self._config, self._program = config, program
        self._own = [device for device in devices if device.process_index == jax.process_index()]
        self._sharding = NamedSharding(Mesh(np.array(self._own), (DATA_AXIS,)), PartitionSpec(DATA_AXIS))

    def place_state(self, state: TrainState) -> TrainState:
        def place(leaf: jax.Array) -> jax.Array:
            return place_local(jnp.broadcast_to(leaf, (len(self._own), *leaf.shape)), self._sharding)

        return jax.tree.map(place, state)

    def place_batch(self, batch: Any) -> Any:
        def place(array: Any) -> jax.Array:
            by_device = np.stack(np.split(np.asarray(array), len(self._own), self._program.batch_axis))
            return place_local(by_device, self._sharding)

        return jax.tree.map(place, batch)

    def shapes(self, state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        axis, count = self._program.batch_axis, len(self.devices)

        def of_state(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype)

        def of_batch(array: Any) -> jax.ShapeDtypeStruct:
            sizes = list(np.shape(array))
            sizes[axis] //= count
            return jax.ShapeDtypeStruct((count, *sizes), array.dtype)

        return jax.tree.map(of_state, state), jax.tree.map(of_batch, batch)

    def whole_state(self, placed: TrainState) -> TrainState:
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], placed)

    def jit(self, like: TrainState) -> Any:
        step = self._program.of(make_train_step(self._config))
        devices = None if len(self.devices) == jax.device_count() else self.devices
        return jax.pmap(step, axis_name=DATA_AXIS, donate_argnums=0, out_axes=(0, None), devices=devices)
