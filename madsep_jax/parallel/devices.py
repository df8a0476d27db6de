"""Devices by name; those of a training, the batch that they share, and the host's arrays onto them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.ops.choice import kind_of

_PLATFORMS = {"cuda": "gpu", "rocm": "gpu"}


def device_named(name: str) -> jax.Device:
    """Return the device of a name: the first of a kind, as `gpu`, or one of several, as `gpu:1`.

    Raises:
        InputError: where JAX finds none.
    """
    kind, _, number = name.lower().partition(":")
    try:
        return jax.devices(_PLATFORMS.get(kind, kind))[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        found = ", ".join(f"{device.platform}:{device.id}" for device in jax.devices())
        raise InputError(f"device {name}: found {found}, expected one of these") from None


def computing_on(config: RunConfig, device: jax.Device | None) -> RunConfig:
    """Return the config with the operations for a device's kind, where it leaves that open; None: as it is."""
    if device is None or config.compute.target != "auto":
        return config
    target: Any = kind_of(device)
    return dataclasses.replace(config, compute=dataclasses.replace(config.compute, target=target))


def chosen_devices(count: int | None) -> list[jax.Device]:
    """Return the first `count` devices of each process, or all; those of one process are neighbours.

    Raises:
        InputError: where a process has fewer.
    """
    chosen: list[jax.Device] = []
    for process in range(jax.process_count()):
        own = [device for device in jax.devices() if device.process_index == process]
        if count is not None and count > len(own):
            raise InputError(f"ParallelConfig.devices: found {count}, expected at most the {len(own)} that there are")
        chosen += own[:count]
    return chosen


def with_scaled_batch(config: RunConfig, parallel: ParallelConfig) -> RunConfig:
    """Return the config with the batch of all devices together, where it says that of one."""
    if parallel.batch == "constant":
        return config
    size = config.training.batch_size * len(chosen_devices(parallel.devices))
    return override(config, {"training.batch_size": size})


def sharing_devices(
    config: RunConfig, parallel: ParallelConfig, devices: Sequence[jax.Device] | None = None
) -> list[jax.Device]:
    """Return the devices that share the config's batch: those given, or else those of the processes.

    Raises:
        InputError: where there are not so many devices, or they cannot share the batch equally.
    """
    devices = chosen_devices(parallel.devices) if devices is None else list(devices)
    training = config.training
    if training.batch_size % (len(devices) * training.accumulation):
        parts = f", {training.accumulation} parts of each" if training.accumulation > 1 else ""
        raise InputError(
            f"TrainingConfig.batch_size: found {training.batch_size}, expected a multiple of the {len(devices)} "
            f"devices that share it{parts}, or fewer devices"
        )
    return devices


def place_whole(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Put an array that every process has whole onto the devices; PRNG keys are arrays too."""
    return _with_keys(leaf, lambda whole: jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__))


def place_local(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Put an array of which every process has a part onto the devices."""
    return _with_keys(leaf, lambda values: jax.make_array_from_process_local_data(sharding, values))


def _with_keys(leaf: Any, place: Callable[[np.ndarray], jax.Array]) -> jax.Array:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(place(np.asarray(jax.random.key_data(leaf))), impl=jax.random.key_impl(leaf))
    return place(np.asarray(leaf))
