"""Which checkpoints of a training are kept."""

from dataclasses import dataclass

from madsep_jax.require import require


@dataclass(frozen=True)
class Score:
    """How good a checkpoint is."""

    name: str
    """Of what the value is: a loss, SDR."""
    value: float
    higher_is_better: bool = False
    validated: bool = False
    """Whether it is of songs that were not trained on; any such score outranks all others."""

    def rank(self) -> tuple[bool, float]:
        """Return what grows with how good it is."""
        return self.validated, self.value if self.higher_is_better else -self.value


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
