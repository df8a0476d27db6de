"""The options that say what is looked at during training, and when that ends it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from data_pipelines.tracks import Track
from experiments.option_types import Whole
from experiments.validation import Validation
from madsep_jax.config import SignalConfig
from madsep_jax.errors import InputError


@Parameter(name="*", group="Validation")
@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """Songs that are kept out of training, what is found of them, and early stopping."""

    validate_every: Annotated[int | None, Whole] = None
    """Score the voice after every so many epochs of training, on songs that are kept out of it. Default: never."""

    validation_loss: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Compute the loss after every epoch, on songs that are kept out of training; takes a few seconds a song."""

    validation_songs: Annotated[int, Whole] = 2
    """How many songs those two keep out of training: the last ones by name."""

    early_stopping_patience: Annotated[int | None, Whole] = None
    """End a row's training once so many validations have brought no improvement. Default: never."""

    early_stopping_min_delta: float = 0.0
    """What an improvement has to be more than, in the metric's own unit."""

    early_stopping_metric: Literal["loss", "SDR"] | None = None
    """What has to improve: the loss, or the voice's SDR (dB). Default: the loss with --validation-loss, else SDR."""

    def __post_init__(self) -> None:
        for name in ("validate_every", "validation_songs", "early_stopping_patience"):
            found = getattr(self, name)
            if found is not None and found < 1:
                raise InputError(f"--{name.replace('_', '-')}: found {found}, expected at least 1")

    @property
    def songs(self) -> int:
        """How many songs are kept out of training."""
        return self.validation_songs if self.validate_every or self.validation_loss else 0

    def changes(self) -> dict[str, Any]:
        """Return the fields of the configuration that were given, by their dotted names.

        Raises:
            InputError: where the training would stop by something that is not measured.
        """
        if self.early_stopping_patience is None:
            return {}
        needed = {"loss": ("--validation-loss", self.validation_loss), "SDR": ("--validate-every", self.validate_every)}
        option, given = needed[self._metric]
        if not given:
            raise InputError(f"--early-stopping-patience: found no {option}, which finds the {self._metric} to stop by")
        rule = {
            "patience": self.early_stopping_patience,
            "min_delta": self.early_stopping_min_delta,
            "metric": self._metric,
        }
        return {f"training.early_stopping.{name}": value for name, value in rule.items()}

    def validation(self, tracks: Sequence[Track], signal: SignalConfig, cache: Path) -> Validation | None:
        """Return what is to be done with the songs that are kept out; None for nothing."""
        if not self.songs:
            return None
        return Validation(list(tracks), self.validate_every, cache if self.validation_loss else None, signal)

    @property
    def _metric(self) -> Literal["loss", "SDR"]:
        return self.early_stopping_metric or ("loss" if self.validation_loss or not self.validate_every else "SDR")
