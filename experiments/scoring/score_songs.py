"""Separate and score the test songs for one row, several songs at a time."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from data_pipelines.child_process import follow_parent
from data_pipelines.songs.tracks import Track, TrackAudio, safe_name
from experiments.scoring import song_scores
from experiments.scoring.aggregate import Aggregate, aggregate
from experiments.scoring.estimators import Estimates, Estimator
from experiments.scoring.protocols import EngineName
from experiments.scoring.score_song import score_song
from experiments.scoring.song_scores import SongScores


def score_tracks(
    tracks: list[Track],
    estimator: Estimator,
    folder: Path,
    pool: Executor,
    processes: int,
    engine: EngineName,
    on_song: Callable[[Track], None],
) -> Aggregate:
    """Score every track and write its windows to `folder`/scores; tracks scored before are read from there."""
    pending: dict[Future[None], Track] = {}
    for track in tracks:
        path = _scores_path(folder, track)
        if path.is_file():
            on_song(track)
            continue
        while len(pending) > processes:  # no more songs in memory than are worked on
            _collect(pending, on_song)
        audio = track.read()
        pending[pool.submit(_score_and_write, path, track.name, audio, estimator(audio), engine)] = track
    while pending:
        _collect(pending, on_song)
    return aggregate([song_scores.read(_scores_path(folder, track)) for track in tracks])


def _scores_path(folder: Path, track: Track) -> Path:
    return folder / "scores" / f"{safe_name(track.name)}.json"


def _collect(pending: dict[Future[None], Track], on_song: Callable[[Track], None]) -> None:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
        on_song(pending.pop(future))


def _score_and_write(path: Path, name: str, audio: TrackAudio, estimates: Estimates, engine: EngineName) -> None:
    """Run by a worker of the pool."""
    scores: SongScores = score_song(
        name,
        audio.mixture_NC,
        audio.voice_NC,
        estimates.voice_NC,
        audio.sample_rate,
        accompaniment_estimate_NC=estimates.accompaniment_NC,
        engine=engine,
    )
    scores.write(path)


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
