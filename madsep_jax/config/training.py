"""How a model is trained: optimiser, learning rate, early end (the papers have a constant rate and none); and saved."""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.config.fields import RATE, SEED, Check, Settings, option, part, positive, zero_or_more
from madsep_jax.errors import require

#: Kinds of schedules that end with the training.
ENDING_SCHEDULES = ("cosine", "exponential")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Settings):
    """The learning rate as a function of the step; its largest value is `TrainingConfig.learning_rate`.

    The cosine is half a period (Loshchilov, Hutter: SGDR, 2017, without restarts), the exponential falls by the same
    factor each step. Step n of the W of the warm-up, from 1, has the share n / (W + 1) of the largest rate.
    """

    kind: Literal["constant", "cosine", "exponential", "step"] = option(
        "constant",
        "Learning rate after the warm-up: constant, as in the papers; cosine, or exponential down to "
        "--final-learning-rate at the last step; step, times --decay-factor after every --decay-every steps. Default: "
        "the preset's, constant.",
        flag="--schedule",
    )
    warmup_steps: int = option(
        0,
        "Steps in which the learning rate rises to its largest. Default: none.",
        zero_or_more("steps"),
        flag="--warmup-steps",
    )
    final_learning_rate: float = option(
        0.0,
        "Where a cosine or exponential decay ends, and what steps do not go below. Default: 0.",
        zero_or_more(),
        flag="--final-learning-rate",
    )
    steps: int | None = option(
        None, "Of warm-up and decay together (cosine and exponential). Default: those of the training."
    )
    step_every: int = option(
        10_000,
        "Steps from one decay to the next, with --schedule step. Default: 10000.",
        positive("number of steps"),
        flag="--decay-every",
    )
    step_factor: float = option(
        0.1,
        "Of each decay, with --schedule step. Default: 0.1.",
        Check(lambda factor: 0 < factor <= 1, "more than 0, at most 1"),
        flag="--decay-factor",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        last = self.final_learning_rate
        arrives = self.kind != "exponential" or last > 0
        require(arrives, self, "final_learning_rate", "more than 0, which no exponential decay arrives at")
        moves = self.kind != "constant" or last == 0
        require(moves, self, "final_learning_rate", "0 for a constant learning rate")
        decays = self.steps is None or self.steps > self.warmup_steps
        require(decays, self, "steps", f"more than the {self.warmup_steps} of the warm-up")

    @property
    def needs_steps(self) -> bool:
        """Whether the rate depends on how long the training is."""
        return self.kind in ENDING_SCHEDULES


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig(Settings):
    """Stop where the validation has not improved for a while."""

    patience: int | None = option(
        None,
        "End a row's training once so many validations have brought no improvement. Default: never.",
        positive("number of validations"),
        flag="--early-stopping-patience",
    )
    min_delta: float = option(
        0.0,
        "What an improvement has to be more than, in the metric's own unit.",
        zero_or_more(),
        flag="--early-stopping-min-delta",
    )
    metric: Literal["loss", "SDR"] = option(
        "loss",
        "What has to improve: the loss, or the voice's SDR (dB). Default: the loss with --validation-loss, else SDR.",
        flag="--early-stopping-metric",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """How the parameters are found ([1] sec. III-B)."""

    epochs: int = option(
        100,
        "Train for so many epochs. Default: the preset's. Rows of a folder that have been trained for fewer go on, as "
        "with --steps.",
        positive(),
        flag="--epochs",
    )
    steps: int | None = option(
        None,
        "Train for so many steps instead. Rows of a folder that have been trained for fewer go on from their last "
        "step, to what they would be if trained in one go; with a cosine or exponential schedule, which ends with the "
        "training, that is refused.",
        positive(),
        flag="--steps",
    )
    batch_size: int = option(
        4, "Sequences in a batch. Default: the preset's.", positive("number of sequences"), flag="--batch"
    )
    """Those of all devices together."""
    accumulation: int = option(
        1,
        "Parts of a batch that are taken one after the other, their gradients averaged. Default: the preset's.",
        positive("number of parts"),
        flag="--accumulate",
    )
    """Less memory for as many sequences. BatchNorm then normalises by the moments of a part."""
    learning_rate: float = option(1e-4, "The largest, where the schedule moves it.", RATE)
    schedule: ScheduleConfig = part(ScheduleConfig, "Learning rate")
    early_stopping: EarlyStoppingConfig = part(EarlyStoppingConfig, "Validation")
    adam_b1: float = option(0.9, "β₁ of Adam.", Check(lambda share: 0 <= share < 1, "at least 0 and below 1"))
    adam_b2: float = option(0.999, "β₂ of Adam.", Check(lambda share: 0 <= share < 1, "at least 0 and below 1"))
    adam_epsilon: float = option(1e-8, "ε of Adam.", positive())
    gradient_clip: float = option(0.5, "Largest global L2 norm of the gradient.", positive())
    seed: int = option(0, "Of the initial parameters, the dropout and the order of the sequences.", SEED)
    order: Literal["global", "passes"] = option(
        "global",
        "One shuffle of all sequences an epoch; or the released code's, which shuffles within passes of "
        "`songs_per_pass` songs in file order.",
    )
    songs_per_pass: int = option(16, "Songs of a pass.", positive("number of songs"))

    def __post_init__(self) -> None:
        super().__post_init__()
        divides = self.batch_size % self.accumulation == 0
        require(divides, self, "accumulation", f"a divisor of the batch size ({self.batch_size})")
        last = self.schedule.final_learning_rate
        require(last <= self.learning_rate, self, "learning_rate", f"at least the schedule's last ({last:g})")


#: Which of a training's checkpoints: the last one, or the one with the best score.
Which = Literal["latest", "best"]


@dataclass(frozen=True, kw_only=True)
class SavingConfig(Settings):
    """When to save, and what to keep. A training is saved at its end in any case, and where songs are validated on.

    Kept are the last few checkpoints, the best one, and some for good.
    """

    save_every: float = option(
        60.0,
        "Save the training when so many seconds have gone by since the last time.",
        zero_or_more("seconds"),
        flag="--save-every",
    )
    save_every_steps: int | None = option(
        None,
        "Save it after every so many steps instead.",
        positive("number of steps"),
        flag="--save-every-steps",
    )
    keep_last: int = option(
        3,
        "So many of the last ones: where the newest is damaged, a training goes on from the one before.",
        positive("number of checkpoints"),
    )
    keep_every: int | None = option(
        None,
        "Keep the checkpoints of steps that are multiples of this. Default: only the last three and the best.",
        positive("number of steps"),
        flag="--keep-every",
    )
