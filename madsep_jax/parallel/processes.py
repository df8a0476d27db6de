"""Several processes that train together: how they find each other, and which part of a batch is whose."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from madsep_jax.config import ProcessesConfig
from madsep_jax.errors import InputError


def join_processes(config: ProcessesConfig) -> None:
    """Connect this process to the others, before anything is computed; nothing where it trains alone.

    Without a coordinator given, JAX finds out how Slurm, Open MPI or a Cloud TPU has started the processes.

    Raises:
        InputError: where nothing has started several processes, or the coordinator is not reached.
    """
    if not (config.distributed or config.coordinator):
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # other devices bring their own
    try:
        jax.distributed.initialize(config.coordinator, config.count, config.number)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"ProcessesConfig.distributed: the processes did not find each other ({reason}), expected Slurm, Open MPI, "
            "a Cloud TPU, or coordinator, count and number"
        ) from None


def process_shard() -> tuple[int, int]:
    """Return the number of this process and how many there are, as the data pipeline takes them."""
    return jax.process_index(), jax.process_count()


def wait_for_all(what: str) -> None:
    """Wait until all processes have come so far."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def is_first_process() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


def as_first_process(flags: list[bool]) -> list[bool]:
    """Return what the first process has found, in every process; all of them have to come here."""
    if jax.process_count() == 1:
        return flags
    return [bool(flag) for flag in multihost_utils.broadcast_one_to_all(np.asarray(flags, np.int32))]
