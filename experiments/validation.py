"""Scores during training, on songs that are kept out of it."""

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipelines.tracks import Track, TrackAudio
from experiments.scoring.aggregate import aggregate
from experiments.scoring.score_song import score_song
from experiments.train_log import read_log
from madsep_jax.config import RunConfig
from madsep_jax.separation import separate


@dataclass(frozen=True)
class Validation:
    """Which songs are scored, and how often."""

    tracks: list[Track]
    every_epochs: int

    def due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether to score after a step, counted from 1."""
        return step % (self.every_epochs * steps_per_epoch) == 0

    def score(self, config: RunConfig, variables: Mapping[str, Any]) -> dict[str, float]:
        """Separate and score the songs; returns SDR, ISR, SIR and SAR of the voice (sisec18, dB), and the seconds."""
        start = time.perf_counter()
        scores = []
        for name, audio in self._songs:
            found = separate(config, variables, audio.mixture_NC, audio.sample_rate)
            scores.append(score_song(name, audio.mixture_NC, audio.voice_NC, found.voice_NC, audio.sample_rate))
        return {**aggregate(scores).targets["vocals"].score_db, "seconds": time.perf_counter() - start}

    @functools.cached_property
    def _songs(self) -> list[tuple[str, TrackAudio]]:
        return [(track.name, track.read()) for track in self.tracks]


def validation_scores(row_folder: Path) -> list[dict[str, float]] | None:
    """Return what a row's training has logged, a dictionary for each time; None where there was no validation."""
    return read_log(row_folder, "validation") or None
