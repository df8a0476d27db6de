"""Shards as an Apache Beam pipeline: for data sets that one machine would take too long for.

Needs the extra `beam`. The workers must see the songs and the set's folder under the same paths.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.prepared.records import TrackFacts
from data_pipelines.prepared.runners import Runner
from data_pipelines.prepared.shard import ShardJob
from madsep_jax.errors import InputError


def run_in_beam(options: Sequence[str]) -> Runner:
    """Return what runs jobs as a Beam pipeline; `options` are Beam's own, such as --runner=FlinkRunner.

    Raises:
        InputError: Apache Beam is not installed, or knows no such runner.
    """
    beam = _beam()
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


def _beam() -> Any:
    try:
        import apache_beam
    except ImportError as error:
        raise InputError('Apache Beam is not installed, expected: pip install "madsep-jax[data,beam]"') from error
    return apache_beam
