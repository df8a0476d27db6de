"""The options that say how the learning rate moves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from cyclopts import Parameter

from experiments.option_types import Whole
from experiments.rows import Row
from madsep_jax.config import RunConfig
from madsep_jax.schedule import learning_rate, with_schedule_steps
from madsep_jax.schedule_config import ScheduleKind


@Parameter(name="*", group="Learning rate")
@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """The learning rate's schedule (`madsep_jax.schedule_config`); what is not given is the preset's."""

    schedule: ScheduleKind | None = None
    """Learning rate after the warm-up: constant, as in the papers; cosine, or exponential down to --final-learning-rate
    at the last step; step, times --decay-factor after every --decay-every steps. Default: the preset's, constant."""

    warmup_steps: Annotated[int | None, Whole] = None
    """Steps in which the learning rate rises to its largest. Default: none."""

    final_learning_rate: float | None = None
    """Where a cosine or exponential decay ends, and what steps do not go below. Default: 0."""

    decay_every: Annotated[int | None, Whole] = None
    """Steps from one decay to the next, with --schedule step. Default: 10000."""

    decay_factor: float | None = None
    """Of each decay, with --schedule step. Default: 0.1."""

    def changes(self) -> dict[str, Any]:
        """Return the fields of the configuration that were given, by their dotted names."""
        given = {
            "kind": self.schedule,
            "warmup_steps": self.warmup_steps,
            "final_learning_rate": self.final_learning_rate,
            "step_every": self.decay_every,
            "step_factor": self.decay_factor,
        }
        return {f"training.schedule.{name}": value for name, value in given.items() if value is not None}


def with_schedules(rows: Iterable[Row], steps_of: Callable[[RunConfig], int]) -> list[Row]:
    """Write the length of each row's training into its schedule, where that depends on it.

    Raises:
        InputError: where the warm-up is longer than a training.
    """
    found = []
    for row in rows:
        config = row.config and with_schedule_steps(row.config, steps_of(row.config))
        if config:
            learning_rate(config.training)
        found.append(replace(row, config=config))
    return found
