"""Processes of a pool: how they start, so that an interruption is their parent's alone, and end when that does."""

import contextlib
import multiprocessing
import multiprocessing.context
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor


@contextlib.contextmanager
def process_pool(workers: int, **variables: str) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of new processes that leave interrupts to this one, and end when it does, however that ends.

    `variables` are of their environment; this process, which runs already, does not read them.
    """
    # It starts with the first pool, and would tell in a warning what a process that was ended has left to clear.
    with _environment(PYTHONWARNINGS="ignore:resource_tracker:UserWarning"):
        multiprocessing.resource_tracker.ensure_running()
    with (
        _environment(**variables),
        ProcessPoolExecutor(workers, mp_context=_Context(), initializer=follow_parent) as pool,
    ):
        yield pool


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Have processes that are started within the `with` never see SIGINT; one for this process waits until its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with interrupts_blocked():
            super().start()


class _Context(multiprocessing.context.SpawnContext):
    Process = _Process


def follow_parent() -> None:
    """End when the parent does, however that ends. To be run first in a child process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
