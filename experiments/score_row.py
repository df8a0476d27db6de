"""Separate and score the test songs for one row, several songs at a time."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Literal

import numpy as np

from data_pipelines.names import safe_name
from data_pipelines.tracks import Track, TrackAudio
from experiments.rows import IDEAL_RATIO_MASK, MIXTURE
from experiments.scoring import song_scores
from experiments.scoring.aggregate import Aggregate, aggregate
from experiments.scoring.protocols import EngineName
from experiments.scoring.references import Estimates, ideal_ratio_mask, mixture_as_voice
from experiments.scoring.score_song import score_song
from experiments.scoring.song_scores import SongScores
from madsep_jax.checkpoint import load_model
from madsep_jax.config import SignalConfig
from madsep_jax.rate import process_at_rate
from madsep_jax.separation import separate

Estimator = Callable[[TrackAudio], Estimates]

_TIMED_SECONDS = 3.0
_TIMED_RUNS = 3


def reference_estimator(row: str, signal_config: SignalConfig) -> Estimator:
    """Return what estimates the voice in a row without training."""
    if row == MIXTURE:
        return lambda audio: mixture_as_voice(audio.mixture_NC)
    assert row == IDEAL_RATIO_MASK

    def estimate(audio: TrackAudio) -> Estimates:
        # at the models' own rate and transform, so that it bounds what they can reach
        both_NC = np.concatenate([audio.mixture_NC, audio.voice_NC], axis=1)
        voice_NC = process_at_rate(both_NC, audio.sample_rate, signal_config.sample_rate, separate_both)
        return Estimates(voice_NC, audio.mixture_NC - voice_NC)

    def separate_both(both_NC: np.ndarray) -> np.ndarray:
        mixture_NC, voice_NC = np.split(both_NC, 2, axis=1)
        return ideal_ratio_mask(mixture_NC, voice_NC, signal_config).voice_NC

    return estimate


def checkpoint_estimator(
    checkpoint: Path, which: Literal["latest", "best"] = "latest"
) -> tuple[Estimator, Callable[[TrackAudio], float]]:
    """Return what separates by a trained model, and what measures its real-time factor on a song."""
    config, variables = load_model(checkpoint, which)

    def estimate(audio: TrackAudio) -> Estimates:
        separated = separate(config, variables, audio.mixture_NC, audio.sample_rate)
        return Estimates(separated.voice_NC, separated.accompaniment_NC)

    def real_time_factor(audio: TrackAudio) -> float:
        separate(config, variables, audio.mixture_NC[: audio.sample_rate], audio.sample_rate)  # compiles
        seconds: list[float] = []
        while len(seconds) < _TIMED_RUNS and sum(seconds) < _TIMED_SECONDS:
            start = time.perf_counter()
            estimate(audio)
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds)) * audio.sample_rate / len(audio.mixture_NC)

    return estimate, real_time_factor


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
