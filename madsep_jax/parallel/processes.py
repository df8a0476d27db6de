"""Several processes that train together: how they find each other, whose part is which, and what they do next."""

import socket
import time
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from madsep_jax.config.parallel import ProcessesConfig
from madsep_jax.errors import InputError, first_line

_ASK_AGAIN_S = 0.2


def join_processes(config: ProcessesConfig) -> None:
    """Connect this process to the others, before anything is computed; nothing where it trains alone.

    Without a coordinator given, JAX finds out how Slurm, Open MPI or a Cloud TPU has started the processes.

    Raises:
        InputError: where nothing has started several processes, or the coordinator is not reached.
    """
    if not (config.distributed or config.coordinator):
        return
    if config.coordinator and config.number:  # the first process is the coordinator
        _wait_for_coordinator(config.coordinator, config.timeout_s)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # other devices bring their own
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM for itself, and does nothing
    try:
        jax.distributed.initialize(
            config.coordinator, config.count, config.number, initialization_timeout=config.timeout_s
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"ProcessesConfig.distributed: the processes did not find each other ({first_line(error)}), "
            "expected Slurm, Open MPI, a Cloud TPU, or coordinator, count and number"
        ) from None


def _wait_for_coordinator(address: str, timeout_s: float) -> None:
    """Wait until the first process listens: JAX would end this one with a stack trace where it never does."""
    host, _, port = address.rpartition(":")
    until = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(until - time.monotonic(), 0.1)).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() > until:
            raise InputError(
                f"ProcessesConfig.coordinator: found nothing that listens at {address} within {timeout_s} s "
                f"({reason}), expected process 0 of the same training"
            )
        time.sleep(_ASK_AGAIN_S)


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


_EVERY_S = 2.0


class Wishes(NamedTuple):
    """What a process wants to be done after a step."""

    save: bool = False
    stop: bool = False
    fail: bool = False
    """It cannot go on."""


class Agreement:
    """Puts the wishes of all processes together: what one wants is done by all.

    They meet after steps that all of them know beforehand, every two seconds or so by the first one's clock: a meeting
    takes about as long as a small step. A process that trains alone always agrees with itself.
    """

    def __init__(self, first_step: int) -> None:
        """Begin after so many steps."""
        self._met, self._stride = first_step, 1
        self._time = time.perf_counter()

    def on(self, step: int, wishes: Wishes) -> Wishes:
        """Return what is to be done after a step; nothing where they do not meet. To be called in all processes."""
        if jax.process_count() == 1:
            return wishes
        if step < self._met + self._stride:
            return Wishes()
        now = time.perf_counter()
        step_s = (now - self._time) / (step - self._met)
        all_PW = multihost_utils.process_allgather(np.array([*wishes, step_s], np.float32))
        # No more than twice as far as the last time: the first steps may only have been sent off, not done.
        self._stride = max(1, min(2 * self._stride, int(_EVERY_S / max(float(all_PW[0, -1]), 1e-9))))
        self._met, self._time = step, time.perf_counter()
        return Wishes(*(bool(any_W) for any_W in all_PW[:, :-1].any(axis=0)))
