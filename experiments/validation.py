"""Loss and scores during training, on songs that are kept out of it."""

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from data_pipelines.features import TrackFeatures, load_features
from data_pipelines.held_out import held_out_batches
from data_pipelines.sources import SongSpectrograms
from data_pipelines.to_device import prefetch_to_device
from data_pipelines.tracks import Track, TrackAudio
from experiments.scoring.aggregate import aggregate
from experiments.scoring.score_song import score_song
from experiments.train_log import read_log
from madsep_jax.config import RunConfig, SignalConfig
from madsep_jax.separation import separate
from madsep_jax.validation_loss import validation_loss


@dataclass(frozen=True)
class Validation:
    """Which songs, and what is found of them how often."""

    tracks: list[Track]
    every_epochs: int | None = None
    """Score them after every so many epochs; None for never."""
    cache: Path | None = None
    """Compute the loss after every epoch, of spectrograms that are kept in this folder; None for never."""
    signal: SignalConfig = field(default_factory=SignalConfig)
    """Of those."""

    def loss_due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether to compute the loss after a step, counted from 1."""
        return self.cache is not None and step % steps_per_epoch == 0

    def scores_due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether to score after a step."""
        return self.every_epochs is not None and step % (self.every_epochs * steps_per_epoch) == 0

    def due(self, step: int, steps_per_epoch: int) -> bool:
        """Whether to do either."""
        return self.loss_due(step, steps_per_epoch) or self.scores_due(step, steps_per_epoch)

    def measure(
        self, config: RunConfig, variables: Mapping[str, Any], step: int, steps_per_epoch: int
    ) -> dict[str, float]:
        """Return what is due after a step, and the seconds that it took."""
        start = time.perf_counter()
        found: dict[str, float] = {}
        if self.loss_due(step, steps_per_epoch):
            found |= self.loss(config, variables)
        if self.scores_due(step, steps_per_epoch):
            found |= self.score(config, variables)
        return {**found, "seconds": time.perf_counter() - start}

    def loss(self, config: RunConfig, variables: Mapping[str, Any]) -> dict[str, float]:
        """Return the loss and its parts, averaged over all sequences of the songs."""
        source = SongSpectrograms(self._spectrograms, config.sequences)
        batches = held_out_batches(source, config.sequences, config.training.batch_size)
        placed = prefetch_to_device(batches, lambda pair: (jax.device_put(pair[0]), pair[1]))
        return validation_loss(config, variables, placed)

    def score(self, config: RunConfig, variables: Mapping[str, Any]) -> dict[str, float]:
        """Separate and score the songs; returns SDR, ISR, SIR and SAR of the voice (sisec18, dB)."""
        scores = []
        for name, audio in self._songs:
            found = separate(config, variables, audio.mixture_NC, audio.sample_rate)
            scores.append(score_song(name, audio.mixture_NC, audio.voice_NC, found.voice_NC, audio.sample_rate))
        return dict(aggregate(scores).targets["vocals"].score_db)

    @functools.cached_property
    def _songs(self) -> list[tuple[str, TrackAudio]]:
        return [(track.name, track.read()) for track in self.tracks]

    @functools.cached_property
    def _spectrograms(self) -> list[TrackFeatures]:
        if self.cache is None:
            raise ValueError("cache: found None, expected a folder for the spectrograms")
        return load_features(self.tracks, self.signal, self.cache)


def validation_scores(row_folder: Path) -> list[dict[str, float]] | None:
    """Return what a row's training has logged, a dictionary for each time; None where there was no validation."""
    return read_log(row_folder, "validation") or None
