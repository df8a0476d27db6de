"""Where shards are written: in this process, in several, or by an Apache Beam pipeline.

Beam is for data sets that one machine would take too long for, and needs the extra `beam`. Its workers must see the
songs and the set's folder under the same paths.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from data_pipelines.child_process import process_pool
from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.shard import ShardJob
from madsep_jax.errors import InputError

#: Runs jobs in any order and yields the number of each with its facts, as they are done.
Runner = Callable[[Sequence[tuple[int, ShardJob]]], Iterable[tuple[int, TrackFacts]]]


def run_here(jobs: Sequence[tuple[int, ShardJob]]) -> Iterator[tuple[int, TrackFacts]]:
    """Run one job after the other."""
    for number, job in jobs:
        yield number, job.run()


def run_in_processes(processes: int) -> Runner:
    """Return what runs jobs in so many processes. They end with this one, however that ends."""

    def run(jobs: Sequence[tuple[int, ShardJob]]) -> Iterator[tuple[int, TrackFacts]]:
        left = iter(jobs)
        with process_pool(min(processes, len(jobs))) as pool:
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


def run_in_beam(options: Sequence[str]) -> Runner:
    """Return what runs jobs as a Beam pipeline; `options` are Beam's own, such as --runner=FlinkRunner.

    Raises InputError where Apache Beam is not installed, or knows no such runner.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise InputError('Apache Beam is not installed, expected: pip install "madsep-jax[data,beam]"') from error
    from apache_beam.options.pipeline_options import PipelineOptions

    pipeline_options = PipelineOptions(list(options), save_main_session=False)

    def run(jobs: Sequence[tuple[int, ShardJob]]) -> Iterator[tuple[int, TrackFacts]]:
        try:
            pipeline = beam.Pipeline(options=pipeline_options)
        except ValueError as error:
            raise InputError(f"Apache Beam: {error}") from None
        with pipeline:
            _ = (
                pipeline
                | "Tracks" >> beam.Create([job for _, job in jobs])
                | "OneAWorker" >> beam.Reshuffle()
                | "Write" >> beam.Map(_run)
            )
        for number, job in jobs:
            yield number, job.finished() or job.run()  # which raises again what a worker found to be wrong

    return run


def _run(job: ShardJob) -> None:
    """Run a job; a song that cannot be used is not a fault of the worker, and Beam would try it again and again."""
    with contextlib.suppress(InputError):
        job.run()
