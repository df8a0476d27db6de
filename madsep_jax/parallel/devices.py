"""The devices of a training, and the batch that they share."""

import dataclasses

import jax

from madsep_jax.config import ParallelConfig, RunConfig
from madsep_jax.errors import InputError


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
    return dataclasses.replace(config, training=dataclasses.replace(config.training, batch_size=size))


def sharing_devices(config: RunConfig, parallel: ParallelConfig) -> list[jax.Device]:
    """Return the devices that share the config's batch.

    Raises:
        InputError: where there are not so many devices, or they cannot share the batch equally.
    """
    devices, training = chosen_devices(parallel.devices), config.training
    if training.batch_size % (len(devices) * training.accumulation):
        parts = f", {training.accumulation} parts of each" if training.accumulation > 1 else ""
        raise InputError(
            f"TrainingConfig.batch_size: found {training.batch_size}, expected a multiple of the {len(devices)} "
            f"devices that share it{parts}, or fewer devices"
        )
    return devices
