"""When a training ends before its last step. The papers have no such rule."""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.require import require


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """Stop where the validation has not improved for a while."""

    patience: int | None = None
    """Validations without an improvement after which the training ends; None for never."""
    min_delta: float = 0.0
    """What is no more than this better than the best before is no improvement; in the metric's own unit."""
    metric: Literal["loss", "SDR"] = "loss"
    """Of the validation: its loss, or the SDR of the voice (dB)."""

    def __post_init__(self) -> None:
        require(self.patience is None or self.patience > 0, self, "patience", "a positive number of validations")
        require(0 <= self.min_delta < float("inf"), self, "min_delta", "0 or more")
        require(self.metric in ("loss", "SDR"), self, "metric", "'loss' or 'SDR'")
