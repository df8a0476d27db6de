"""Score the songs of one system that have no scores yet, or whose files have changed."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

from data_pipelines.songs.tracks import Track
from experiments.evaluation.folder import EvaluationFolder
from experiments.evaluation.options import EvaluateOptions
from experiments.evaluation.separators import Separator
from experiments.scoring import song_scores
from experiments.scoring.score_song import references_of
from experiments.scoring.score_songs import OnSong, score_and_write, score_missing
from madsep_jax.errors import InputError


def score_system(
    name: str,
    separator: Separator,
    tracks: Sequence[Track],
    folder: EvaluationFolder,
    pool: Executor,
    options: EvaluateOptions,
    on_song: OnSong,
) -> None:
    """Score every song that has no scores yet, or whose files have changed since.

    Raises:
        InputError: a song's estimates cannot be used.
    """

    def is_scored(track: Track) -> bool:
        return _is_scored(folder.file(name, track), _fingerprint(track, separator), options)

    def begin(track: Track) -> Future[None]:
        inputs = _fingerprint(track, separator)  # of what is read, should it change meanwhile
        audio = track.read()
        return pool.submit(
            score_and_write,
            folder.file(name, track),
            track.name,
            references_of(audio, options.targets),
            separator.read(track, audio),
            audio.sample_rate,
            options.protocol,
            options.engine,
            inputs,
        )

    score_missing(tracks, is_scored, begin, options.processes, on_song)


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
