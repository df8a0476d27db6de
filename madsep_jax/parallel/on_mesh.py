"""jit over a mesh: one program, whose arrays say by `NamedSharding` where they lie.

The gradient is computed under `jax.shard_map`, each device on its own sequences: the models' loops over frames are
written for one device's arrays, and the compiler, left to itself, would gather the batch for them. The optimiser's step
is left to the compiler.
"""

from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from madsep_jax.config.run import RunConfig
from madsep_jax.ops.shared_batch import DATA_AXIS
from madsep_jax.parallel.devices import place_local, place_whole
from madsep_jax.parallel.program import Program
from madsep_jax.train.gradient import GradientOf
from madsep_jax.train.state import TrainState
from madsep_jax.train.step import make_train_step

_REPLICATED = PartitionSpec()


class MeshLayout:
    """Devices in one row; each has its part of the batch, and all of the state or a part."""

    compiles_ahead = True

    def __init__(
        self,
        config: RunConfig,
        devices: list[jax.Device],
        program: Program,
        parameters: Literal["replicated", "sharded"] = "replicated",
    ) -> None:
        """Take the run's config, the devices, and what a call does."""
        self.devices = devices
        self._config, self._program, self._sharded = config, program, parameters == "sharded"
        self._mesh = Mesh(np.array(devices), (DATA_AXIS,))
        self._of_batch = NamedSharding(self._mesh, PartitionSpec(*(None,) * program.batch_axis, DATA_AXIS))
        # Jitted once: a new function would be compiled again at each save.
        self._gather = jax.jit(lambda state: state, out_shardings=NamedSharding(self._mesh, _REPLICATED))

    def place_state(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, onto the devices."""
        return jax.tree.map(place_whole, state, self._shardings(state))

    def place_batch(self, batch: Any) -> Any:
        """Put this process's sequences of a batch onto its devices."""
        return jax.tree.map(lambda array: place_local(array, self._of_batch), batch)

    def whole_state(self, placed: TrainState) -> TrainState:
        """Return the state as a training on one device has it."""
        return self._gather(placed) if self._sharded else placed

    def jit(self, like: TrainState) -> Any:
        """Return the jitted program for states placed as `like`; it takes their buffers."""
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
