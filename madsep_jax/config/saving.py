"""Which checkpoints of a training are kept."""

from dataclasses import dataclass

from madsep_jax.errors import require


@dataclass(frozen=True, kw_only=True)
class Keep:
    """The last few checkpoints, the best one, and some for good."""

    last: int = 3
    """So many of the last ones: where the newest is damaged, a training goes on from the one before."""
    every_steps: int | None = None
    """Those of the steps that this divides are kept for good."""

    def __post_init__(self) -> None:
        require(self.last > 0, self, "last", "a positive number of checkpoints")
        require(self.every_steps is None or self.every_steps > 0, self, "every_steps", "a positive number of steps")
