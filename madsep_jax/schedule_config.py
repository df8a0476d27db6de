"""How the learning rate moves during a training. The papers keep it constant."""

import math
from dataclasses import dataclass
from typing import Literal

from madsep_jax.require import require

ScheduleKind = Literal["constant", "cosine", "exponential", "step"]


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate as a function of the step; its largest value is `TrainingConfig.learning_rate`."""

    kind: ScheduleKind = "constant"
    """After the warm-up: `constant`; `cosine`, half a period of it down to `final_learning_rate` (Loshchilov, Hutter:
    SGDR, 2017, without restarts); `exponential`, down to there by the same factor each step; `step`, by `step_factor`
    after every `step_every` steps."""
    warmup_steps: int = 0
    """W, the steps before the largest rate: step n of them, from 1, has the share n / (W + 1) of it."""
    final_learning_rate: float = 0.0
    """What a cosine or exponential decay arrives at after the last step, and what steps do not go below."""
    steps: int | None = None
    """Of warm-up and decay together (`cosine` and `exponential`). None: those of the training."""
    step_every: int = 10_000
    step_factor: float = 0.1

    def __post_init__(self) -> None:
        kinds = ("constant", "cosine", "exponential", "step")
        require(self.kind in kinds, self, "kind", "'constant', 'cosine', 'exponential' or 'step'")
        require(self.warmup_steps >= 0, self, "warmup_steps", "0 or more steps")
        require(0 <= self.final_learning_rate < math.inf, self, "final_learning_rate", "0 or more")
        require(
            self.kind != "exponential" or self.final_learning_rate > 0,
            self,
            "final_learning_rate",
            "more than 0, which no exponential decay arrives at",
        )
        require(
            self.kind != "constant" or self.final_learning_rate == 0,
            self,
            "final_learning_rate",
            "0 for a constant learning rate",
        )
        require(
            self.steps is None or self.steps > self.warmup_steps,
            self,
            "steps",
            f"more than the {self.warmup_steps} of the warm-up",
        )
        require(self.step_every > 0, self, "step_every", "a positive number of steps")
        require(0 < self.step_factor <= 1, self, "step_factor", "more than 0, at most 1")

    @property
    def needs_steps(self) -> bool:
        """Whether the rate depends on how long the training is."""
        return self.kind in ("cosine", "exponential")
