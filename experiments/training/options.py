"""Options of the songs that are kept out of training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from experiments.cli.options import Switch, Whole, option_class, require_at_least
from madsep_jax.config.signal import SignalConfig
from madsep_jax.errors import InputError

if TYPE_CHECKING:
    from data_pipelines.songs.tracks import Track
    from experiments.training.validation import Validation


@Parameter(group="Validation")
@option_class
class ValidationOptions:
    """Songs that are kept out of training, and what is found of them."""

    validate_every: Annotated[int | None, Whole] = None
    """Score the voice after every so many epochs of training, on songs that are kept out of it. Default: never."""

    validation_loss: Annotated[bool, Switch] = False
    """Compute the loss after every epoch, on songs that are kept out of training; takes a few seconds a song."""

    validation_songs: Annotated[int, Whole] = 2
    """How many songs those two keep out of training: the last ones by name."""

    def __post_init__(self) -> None:
        require_at_least(self, validate_every=1, validation_songs=1)

    @property
    def songs(self) -> int:
        """How many songs are kept out of training."""
        return self.validation_songs if self.validate_every or self.validation_loss else 0

    def with_metric(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return given fields of the configuration with the metric to stop by; without patience nothing stops.

        Raises:
            InputError: where the training would stop by something that is not measured.
        """
        rule = "training.early_stopping"
        if f"{rule}.patience" not in given:
            return {name: value for name, value in given.items() if not name.startswith(rule)}
        by_default = "loss" if self.validation_loss or not self.validate_every else "SDR"
        metric = given.get(f"{rule}.metric", by_default)
        needed = {"loss": ("--validation-loss", self.validation_loss), "SDR": ("--validate-every", self.validate_every)}
        option, measured = needed[metric]
        if not measured:
            raise InputError(f"--early-stopping-patience: found no {option}, which finds the {metric} to stop by")
        return {**given, f"{rule}.metric": metric}

    def validation(self, tracks: "Sequence[Track]", signal: SignalConfig, cache: Path) -> "Validation | None":
        """Return what is to be done with the songs that are kept out; None for nothing."""
        from experiments.training.validation import Validation

        if not self.songs:
            return None
        return Validation(list(tracks), self.validate_every, cache if self.validation_loss else None, signal)
