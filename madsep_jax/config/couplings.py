"""How the matrices of the neural couplings algorithm are found (`madsep_jax.couplings.fit`)."""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.config.fields import RATE, SEED, Settings, option, positive
from madsep_jax.errors import require

Form = Literal["compositional", "student"]


@dataclass(frozen=True, kw_only=True)
class CouplingsConfig(Settings):
    """How the matrices are found. Learning rate and initial values are those of the published implementation.

    What the frames do not determine stays as it was drawn, so that a student keeps some of the noise. Zeros (student
    only: couplings of 0 have no gradient) and the identity avoid it, the latter in favour of the diagonal.
    """

    form: Form = option("compositional", "The matrix's form.")
    steps: int = option(1000, "Updates by Adam.", positive(), flag="--steps")
    learning_rate: float = option(
        1e-3, "Of Adam. Default: the published implementation's.", RATE, flag="--learning-rate"
    )
    initial: Literal["normal", "identity", "zeros"] = option(
        "normal",
        "Where the fit starts: normal (random, as published), identity, or zeros (student form only).",
        flag="--initial",
    )
    """`normal` has a standard deviation of 1/sqrt(F)."""
    seed: int = option(0, "Of the random start.", SEED, flag="--seed")

    def __post_init__(self) -> None:
        starts = ("normal", "identity", "zeros") if self.form == "student" else ("normal", "identity")
        require(self.initial in starts, self, "initial", f"one of {', '.join(starts)} in the {self.form} form")
        super().__post_init__()
