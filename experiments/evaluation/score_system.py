"""Score the songs of one system, several at a time."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path

import numpy as np

from data_pipelines.songs.tracks import Track
from experiments.evaluation.folder import EvaluationFolder
from experiments.evaluation.options import EvaluateOptions
from experiments.evaluation.separators import Separator
from experiments.scoring import song_scores
from experiments.scoring.protocols import EngineName, ProtocolName
from experiments.scoring.score_song import references_of, score_sources
from madsep_jax.errors import InputError


def score_system(
    name: str,
    separator: Separator,
    tracks: Sequence[Track],
    folder: EvaluationFolder,
    pool: Executor,
    options: EvaluateOptions,
    on_song: Callable[[], None],
) -> None:
    """Score every song that has no scores yet, or whose files have changed since.

    Raises:
        InputError: a song's estimates cannot be used.
    """
    pending: set[Future[None]] = set()
    for track in tracks:
        path = folder.file(name, track)
        inputs = _fingerprint(track, separator)
        if _is_scored(path, inputs, options):
            on_song()
            continue
        if len(pending) > options.processes:  # no more songs in memory than are worked on
            pending = _wait(pending, on_song)
        audio = track.read()
        references_NC = references_of(audio, options.targets)
        estimates_NC = separator.read(track, audio)
        pending.add(
            pool.submit(
                score_and_write,
                path,
                track.name,
                inputs,
                references_NC,
                estimates_NC,
                audio.sample_rate,
                options.protocol,
                options.engine,
            )
        )
    while pending:
        pending = _wait(pending, on_song)


def score_and_write(
    path: Path,
    track: str,
    inputs: str,
    references_NC: dict[str, np.ndarray],
    estimates_NC: dict[str, np.ndarray],
    sample_rate: int,
    protocol: ProtocolName,
    engine: EngineName,
) -> None:
    """Run by a worker of the pool."""
    scores = score_sources(track, references_NC, estimates_NC, sample_rate, protocol=protocol, engine=engine)
    dataclasses.replace(scores, inputs=inputs).write(path)


def _fingerprint(track: Track, separator: Separator) -> str:
    return hashlib.sha256(f"{track.fingerprint()}/{separator.fingerprint(track)}".encode()).hexdigest()[:16]


def _is_scored(path: Path, inputs: str, options: EvaluateOptions) -> bool:
    if not path.is_file():
        return False
    try:
        found = song_scores.read(path)
    except InputError:
        return False  # damaged: made again
    return (found.inputs, found.engine, found.protocol) == (inputs, options.engine, options.protocol)


def _wait(pending: set[Future[None]], on_song: Callable[[], None]) -> set[Future[None]]:
    done, rest = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
        on_song()
    return rest
