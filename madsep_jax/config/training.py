"""How a model is trained: optimiser, learning rate, early end. The papers have a constant rate and no early end."""

import math
from dataclasses import dataclass, field
from typing import Literal

from madsep_jax.errors import require

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


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the parameters are found ([1] sec. III-B)."""

    batch_size: int = 4
    """Sequences of each step, those of all devices together."""
    accumulation: int = 1
    """Parts of a batch that are taken one after the other, their gradients averaged: less memory for as many sequences.
    BatchNorm then normalises by the moments of a part."""
    epochs: int = 100
    steps: int | None = None
    """Stop after so many steps; `epochs` is then ignored."""
    learning_rate: float = 1e-4
    """The largest, where `schedule` moves it."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_epsilon: float = 1e-8
    gradient_clip: float = 0.5
    """Largest global L2 norm of the gradient."""
    seed: int = 0
    """Of the initial parameters, the dropout and the order of the sequences."""
    order: Literal["global", "passes"] = "global"
    """`global`: one shuffle of all sequences an epoch. `passes`: the released code's, which shuffles within passes of
    `songs_per_pass` songs in file order."""
    songs_per_pass: int = 16

    def __post_init__(self) -> None:
        require(self.batch_size > 0, self, "batch_size", "a positive number of sequences")
        require(self.accumulation > 0, self, "accumulation", "a positive number of parts")
        require(
            self.batch_size % self.accumulation == 0,
            self,
            "accumulation",
            f"a divisor of the batch size ({self.batch_size})",
        )
        require(self.epochs > 0, self, "epochs", "a positive number")
        require(self.steps is None or self.steps > 0, self, "steps", "a positive number")
        require(0 < self.learning_rate < math.inf, self, "learning_rate", "a positive number")
        require(
            self.schedule.final_learning_rate <= self.learning_rate,
            self,
            "learning_rate",
            f"at least the schedule's last ({self.schedule.final_learning_rate:g})",
        )
        require(0 <= self.adam_b1 < 1, self, "adam_b1", "at least 0 and below 1")
        require(0 <= self.adam_b2 < 1, self, "adam_b2", "at least 0 and below 1")
        require(self.adam_epsilon > 0, self, "adam_epsilon", "a positive number")
        require(self.gradient_clip > 0, self, "gradient_clip", "a positive number")
        require(0 <= self.seed < 2**31, self, "seed", "0 or more, below 2**31")
        require(self.order in ("global", "passes"), self, "order", "'global' or 'passes'")
        require(self.songs_per_pass > 0, self, "songs_per_pass", "a positive number of songs")
