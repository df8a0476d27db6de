"""Where shards are written: in this process, or in several."""

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from data_pipelines.child_process import follow_parent
from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.shard import ShardJob

#: Runs jobs in any order and yields the number of each with its facts, as they are done.
Runner = Callable[[Sequence[tuple[int, ShardJob]]], Iterable[tuple[int, TrackFacts]]]


def run_here(jobs: Sequence[tuple[int, ShardJob]]) -> Iterator[tuple[int, TrackFacts]]:
    """Run one job after the other."""
    for number, job in jobs:
        yield number, job.run()


def run_in_processes(processes: int) -> Runner:
    """Return what runs jobs in so many processes. They end with this one, however that ends."""

    def run(jobs: Sequence[tuple[int, ShardJob]]) -> Iterator[tuple[int, TrackFacts]]:
        context = multiprocessing.get_context("spawn")
        left = iter(jobs)
        with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context, initializer=follow_parent) as pool:
            pending: dict[Future[TrackFacts], int] = {}
            try:
                while True:
                    # no more than are worked on: after an error, none begins
                    for number, job in itertools.islice(left, processes - len(pending)):
                        pending[pool.submit(job.run)] = number
                    if not pending:
                        return
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        yield pending.pop(future), future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    return run if processes > 1 else run_here
