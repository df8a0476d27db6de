"""Score songs, several at a time: those of a row of the ablation, or of any system."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.child_process import process_pool
from data_pipelines.songs.tracks import Track, safe_name
from experiments.scoring import song_scores
from experiments.scoring.aggregate import Aggregate, aggregate
from experiments.scoring.estimators import Estimator
from experiments.scoring.excerpts import Excerpt, ExcerptFolders
from experiments.scoring.protocols import EngineName, ProtocolName
from experiments.scoring.score_song import references_of, score_sources

OnSong = Callable[[Track], object]
OnFailure = Callable[[Track, Exception], object]


def score_tracks(
    tracks: list[Track],
    estimator: Estimator,
    folder: Path,
    pool: Executor,
    processes: int,
    engine: EngineName,
    on_song: OnSong,
    excerpts: ExcerptFolders | None = None,
) -> Aggregate:
    """Score every track and write its windows to `folder`/scores; tracks scored before are read from there.

    Of those scored now, excerpts are kept where there are `excerpts`.
    """

    def path_of(track: Track) -> Path:
        return folder / "scores" / f"{safe_name(track.name)}.json"

    def begin(track: Track) -> Future[None]:
        audio = track.read()
        references_NC = references_of(audio, "voice")
        estimates_NC = dict(zip(references_NC, estimator(audio), strict=True))
        sources_NC = references_NC, estimates_NC
        cut = excerpts.cut(track.name, audio.mixture_NC, *sources_NC, audio.sample_rate) if excerpts else None
        song = (path_of(track), track.name)
        return pool.submit(score_and_write, *song, *sources_NC, audio.sample_rate, "sisec18", engine, cut)

    score_missing(tracks, lambda track: path_of(track).is_file(), begin, processes, on_song)
    return aggregate([song_scores.read(path_of(track)) for track in tracks])


def score_missing(
    tracks: Sequence[Track],
    is_scored: Callable[[Track], bool],
    begin: Callable[[Track], Future[None]],
    workers: int,
    on_song: OnSong,
    on_failure: OnFailure | None = None,
) -> None:
    """Score the songs that have no scores yet: `begin` reads one, and hands it to a pool.

    Not many more songs are in memory than the pool's workers work on. `on_song` is called when a song has its scores,
    `on_failure` when it cannot be read or scored, after which the others go on. Without it the error is raised, as the
    system's errors, a full disk's among them, are in any case.
    """
    pending: dict[Future[None], Track] = {}

    @contextmanager
    def failures_told(track: Track) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if on_failure is None or isinstance(error, OSError):
                raise
            on_failure(track, error)

    def wait_for_more_than(left: int) -> None:
        while len(pending) > left:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                track = pending.pop(future)
                with failures_told(track):
                    future.result()
                    on_song(track)

    for track in tracks:
        wait_for_more_than(workers)
        with failures_told(track):
            if is_scored(track):
                on_song(track)
            else:
                pending[begin(track)] = track
    wait_for_more_than(0)


def score_and_write(
    path: Path,
    track: str,
    references_NC: Mapping[str, np.ndarray],
    estimates_NC: Mapping[str, np.ndarray],
    sample_rate: int,
    protocol: ProtocolName,
    engine: EngineName,
    excerpt: Excerpt | None = None,
    **kept: Any,
) -> None:
    """Score a song as `score_sources` does; run by a worker of the pool. `kept` are further fields of `SongScores`.

    An excerpt is written first: a song that has scores has it.
    """
    if excerpt:
        excerpt.write()
    scores = score_sources(track, references_NC, estimates_NC, sample_rate, protocol, engine)
    dataclasses.replace(scores, **kept).write(path)


@contextmanager
def scoring_pool(workers: int, engine: EngineName) -> Iterator[Executor]:
    """Return workers for an engine: threads for JAX, which computes beside them, and processes for museval."""
    if engine == "jax":
        with ThreadPoolExecutor(workers) as threads:
            yield threads
    else:
        # one thread each, since museval's own gain little
        with process_pool(workers, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1") as processes:
            yield processes
