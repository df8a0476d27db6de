"""Workers that score several songs at a time."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

from data_pipelines.child_process import follow_parent
from experiments.scoring.protocols import EngineName


@contextmanager
def scoring_pool(workers: int, engine: EngineName) -> Iterator[Executor]:
    """Return workers for an engine: threads for JAX, which computes beside them, and processes for museval."""
    if engine == "jax":
        with ThreadPoolExecutor(workers) as threads:
            yield threads
    else:
        with _processes(workers) as processes:
            yield processes


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Processes with one thread each, since museval's own threads gain little."""
    variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)  # read by the processes when they start, not by this one, which runs already
    try:
        with ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=follow_parent
        ) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
