"""Options of the songs that are kept out of training."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from experiments.cli.options import Switch, Whole, require_at_least
from madsep_jax.config.io import override
from madsep_jax.config.run import RunConfig
from madsep_jax.config.signal import SignalConfig
from madsep_jax.config.training import EarlyStoppingConfig
from madsep_jax.errors import InputError

if TYPE_CHECKING:
    from data_pipelines.songs.tracks import Track
    from experiments.training.validation import Validation


@Parameter(name="*", group="Validation")
@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """Songs that are kept out of training, and what is found of them."""

    validate_every: Annotated[int | None, Whole] = None
    """Score the voice after every so many epochs of training, on songs that are kept out of it. Default: never."""

    validation_loss: Annotated[bool, Switch] = False
    """Compute the loss after every epoch, on songs that are kept out of training; takes a few seconds a song."""

    validation_songs: Annotated[int, Whole] = 2
    """How many songs those two keep out of training: the last ones by name."""

    validation_split: Annotated[bool, Switch] = False
    """In their place, keep the songs of the folder `valid` out of training or, where there are none, the 14 songs of
    MUSDB18's validation list."""

    def __post_init__(self) -> None:
        require_at_least(self, validate_every=1, validation_songs=1)
        if self.validation_split and not self.songs:
            raise InputError("--validation-split: found neither --validate-every nor --validation-loss to use it")

    @property
    def songs(self) -> int:
        """How many songs are kept out of training."""
        return self.validation_songs if self.validate_every or self.validation_loss else 0

    def with_metric(self, config: RunConfig, flags: Collection[str], others: Collection[str] = ()) -> RunConfig:
        """Return the configuration with the metric to stop by, where its training may stop early.

        Args:
            config: as the options leave it.
            flags: the fields, by their dotted names, that were given by options of their own.
            others: those that were given otherwise.

        Raises:
            InputError: where the training would stop by something that is not measured, or never stops, and it is said
                how.
        """
        rule, place = config.training.early_stopping, "training.early_stopping"
        if rule.patience is None:
            for name in ("min_delta", "metric"):
                if f"{place}.{name}" in flags or getattr(rule, name) != getattr(EarlyStoppingConfig(), name):
                    option = f"--early-stopping-{name.replace('_', '-')}"
                    raise InputError(f"{option}: found no --early-stopping-patience, expected both or none")
            return config
        metric = rule.metric
        if f"{place}.metric" not in {*flags, *others}:
            metric = "loss" if self.validation_loss or not self.validate_every else "SDR"
        needed = {"loss": ("--validation-loss", self.validation_loss), "SDR": ("--validate-every", self.validate_every)}
        option, measured = needed[metric]
        if not measured:
            raise InputError(f"--early-stopping-patience: found no {option}, which finds the {metric} to stop by")
        return override(config, {f"{place}.metric": metric})

    def validation(self, tracks: "Sequence[Track]", signal: SignalConfig, cache: Path) -> "Validation | None":
        """Return what is to be done with the songs that are kept out; None for nothing."""
        from experiments.training.validation import Validation

        if not self.songs:
            return None
        return Validation(list(tracks), self.validate_every, cache if self.validation_loss else None, signal)
