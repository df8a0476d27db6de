"""pmap: one program for each device, whose arrays have a first axis of the devices.

The alternative to jit over a mesh, so that both can be compared.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from madsep_jax.config.run import RunConfig
from madsep_jax.ops.shared_batch import DATA_AXIS
from madsep_jax.parallel.devices import place_local
from madsep_jax.parallel.program import Program
from madsep_jax.train.state import TrainState
from madsep_jax.train.step import make_train_step


class PmapLayout:
    """Each device has its part of the batch and all of the state."""

    def __init__(self, config: RunConfig, devices: list[jax.Device], program: Program) -> None:
        """Take the run's config, the devices, and what a call does."""
        self.devices = devices
        self.compiles_ahead = jax.process_count() == 1
        self._config, self._program = config, program
        self._own = [device for device in devices if device.process_index == jax.process_index()]
        self._sharding = NamedSharding(Mesh(np.array(self._own), (DATA_AXIS,)), PartitionSpec(DATA_AXIS))

    def place_state(self, state: TrainState) -> TrainState:
        """Put a state, the same in every process, onto the devices."""
        return jax.tree.map(lambda leaf: place_local(self._repeated(leaf), self._sharding), state)

    def place_batch(self, batch: Any) -> Any:
        """Put this process's sequences of a batch onto its devices."""
        return jax.tree.map(lambda array: place_local(self._by_device(array), self._sharding), batch)

    def whole_state(self, placed: TrainState) -> TrainState:
        """Return the state as a training on one device has it."""
        return jax.tree.map(lambda leaf: leaf.addressable_data(0)[0], placed)

    def jit(self, like: TrainState) -> Any:
        """Return the program for states placed as `like`; it takes their buffers."""
        step = self._program.of(make_train_step(self._config))
        devices = None if len(self.devices) == jax.device_count() else self.devices
        return jax.pmap(step, axis_name=DATA_AXIS, donate_argnums=0, out_axes=(0, None), devices=devices)

    def _repeated(self, leaf: jax.Array) -> jax.Array:
        return jnp.broadcast_to(leaf, (len(self._own), *leaf.shape))

    def _by_device(self, array: Any) -> np.ndarray:
        """Move the devices' axis, cut from that of the sequences, to the front."""
        array, axis = np.asarray(array), self._program.batch_axis
        return np.stack(np.split(array, len(self._own), axis))
