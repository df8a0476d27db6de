"""Loss and scores during training on songs that are kept out of it, and when they end it."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.batches.sources import SongSpectrograms, held_out_batches
from data_pipelines.batches.to_device import prefetch_to_device
from data_pipelines.songs.spectrograms import TrackFeatures, load_features
from data_pipelines.songs.tracks import Track, TrackAudio
from experiments.cli.signals import Stopped, StopSignals
from experiments.scoring.aggregate import aggregate
from experiments.scoring.score_song import score_song
from experiments.training.log import Log, read_log
from experiments.training.saving import Start
from madsep_jax.checkpoint.steps import Score
from madsep_jax.config.run import RunConfig
from madsep_jax.config.signal import SignalConfig
from madsep_jax.config.training import EarlyStoppingConfig
from madsep_jax.errors import InputError
from madsep_jax.parallel.processes import as_first_process, is_first_process
from madsep_jax.separation import separate
from madsep_jax.train.batch import TrainState
from madsep_jax.train.losses import validation_loss

#: Peak of what counts as silence: -60 dB of full scale.
_SILENT = 1e-3

Measure = Callable[[RunConfig, Mapping[str, Any]], dict[str, float]]


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

    def due(self, step: int, steps_per_epoch: int) -> list[Measure]:
        """Return what is to be found after a step, counted from 1: `loss`, `score`, both or nothing."""
        loss_due = self.cache is not None and step % steps_per_epoch == 0
        score_due = self.every_epochs is not None and step % (self.every_epochs * steps_per_epoch) == 0
        return [measure for measure, due in ((self.loss, loss_due), (self.score, score_due)) if due]

    def measure(
        self, config: RunConfig, variables: Mapping[str, Any], step: int, steps_per_epoch: int
    ) -> dict[str, float]:
        """Return what is due after a step, and the seconds that it took."""
        start = time.perf_counter()
        found: dict[str, float] = {}
        for measure in self.due(step, steps_per_epoch):
            found |= measure(config, variables)
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

    def require_voice(self) -> None:
        """Raise InputError where no training could be stopped by the songs, as none of them has a voice."""
        if all(np.abs(track.read().voice_NC).max(initial=0) < _SILENT for track in self.tracks):
            names = ", ".join(track.name for track in self.tracks)
            raise InputError(
                f"--early-stopping-patience: found no voice in the validation songs ({names}), so that silence would "
                "be best, and has no SDR; expected at least one with a voice"
            )

    @functools.cached_property
    def _songs(self) -> list[tuple[str, TrackAudio]]:
        return [(track.name, track.read()) for track in self.tracks]

    @functools.cached_property
    def _spectrograms(self) -> list[TrackFeatures]:
        return load_features(self.tracks, self.signal, self.cache) if self.cache else []


def stops_after(validations: Sequence[Mapping[str, float]], config: EarlyStoppingConfig) -> bool:
    """Whether a training ends after the last of these lines of its validation log; those without the metric are none.

    The best value is the one that was better than the best before it by more than `min_delta`; the training ends once
    `patience` validations have come after it. What is not a number, None in the log, is no improvement.
    """
    if config.patience is None:
        return False
    best, since = math.inf, 0
    for value in [line[config.metric] for line in validations if config.metric in line]:
        falling = math.nan if value is None else value if config.metric == "loss" else -value
        if falling < best - config.min_delta:
            best, since = falling, 0
        else:
            since += 1
    return since >= config.patience


class Judge:
    """Validates the seeds of a training, and knows those whose training has ended. Only the first process validates."""

    def __init__(self, validation: Validation | None, starts: Sequence[Start], log: Log, signals: StopSignals) -> None:
        self._validation, self._starts, self._log, self._signals = validation, starts, log, signals
        self._order = starts[0].order
        self.ended: Mapping[int, int] = {}
        """The seeds whose training has ended early, by their number, and the step after which it did."""
        self.interrupted = False
        """Whether a signal has come before the last validation was done, which then is still to be done."""
        self._find_ended(starts[0].step)

    @property
    def all_ended(self) -> bool:
        """Whether there is nothing left to train."""
        return len(self.ended) == len(self._starts)

    def due(self, steps: range) -> bool:
        """Whether there is a validation after one of these steps, and so a save."""
        validation = self._validation
        return validation is not None and any(validation.due(step, self._order.steps_per_epoch) for step in steps)

    def validate(self, step: int, states: Sequence[TrainState]) -> list[Score | None] | None:
        """Validate each seed where that is due, log what is found, and see which trainings end after this step.

        The states are on one device of this process. Returns what tells the best checkpoint of each seed; None where no
        validation is due.
        """
        if self._validation is None or not self.due(range(step, step + 1)):
            return None
        scores: list[Score | None] = []
        if is_first_process():
            try:
                for number, state in enumerate(states):
                    goes_on = number not in self.ended
                    scores.append(self._validate_seed(self._validation, number, step, state) if goes_on else None)
            except Stopped:
                scores += [None] * (len(states) - len(scores))
                self.interrupted = True
        (self.interrupted,) = as_first_process([self.interrupted])
        self._find_ended(step)
        return scores

    def _validate_seed(self, validation: Validation, number: int, step: int, state: TrainState) -> Score | None:
        """Validate a seed once for a step; None where no score is due. Raises Stopped where a signal comes before."""
        start = self._starts[number]
        values = next((line for line in read_log(start.folder, "validation") if line["step"] == step), None)
        if values is None:
            with self._signals.ending_at_once():
                values = validation.measure(start.config, state.variables, step, self._order.steps_per_epoch)
            self._log.write_validation(number, step, values)
        rule = start.config.training.early_stopping
        metric = "SDR" if validation.cache is None else "loss"  # which each validation has
        if rule.patience is not None:
            metric = rule.metric
        if metric not in values:
            return None
        value = math.nan if values[metric] is None else values[metric]
        return Score(f"{metric} of the validation songs", value, metric == "SDR", validated=True)

    def _find_ended(self, step: int) -> None:
        """See by the first process's logs which trainings end at a step."""
        rules = [start.config.training.early_stopping for start in self._starts]
        if rules[0].patience is None or step == self._order.total_steps:
            return
        found = [False] * len(self._starts)
        if is_first_process():
            logs = [read_log(start.folder, "validation") for start in self._starts]
            found = [stops_after(log, rule) for log, rule in zip(logs, rules, strict=True)]
        now = {number: step for number, stops in enumerate(as_first_process(found)) if stops}
        self.ended = {**now, **self.ended}
