"""The learning rate of each step, by optax's schedules: a function of the count in the optimiser's state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from madsep_jax.config import RunConfig, TrainingConfig
from madsep_jax.errors import InputError


def learning_rate(config: TrainingConfig) -> float | optax.Schedule:
    """Return the learning rate: a number where it is constant, else the function of the steps done before.

    Raises:
        InputError: where it depends on the length of the training and that is not known, or is no longer than the
            warm-up.
    """
    rate = _with_warmup(config)
    if not callable(rate):
        return rate
    # Of an int32, as the count is, optax computes the rate in float32 even where everything else is in float64.
    return lambda count: rate(jnp.asarray(count, jnp.result_type(float)))


def _with_warmup(config: TrainingConfig) -> float | optax.Schedule:
    steps, decay = config.schedule.warmup_steps, _decay(config)
    if not steps:
        return decay
    warmup = optax.linear_schedule(config.learning_rate / (steps + 1), config.learning_rate, steps)
    after = decay if callable(decay) else optax.constant_schedule(decay)
    return optax.join_schedules([warmup, after], [steps])


def _decay(config: TrainingConfig) -> float | optax.Schedule:
    """Return the rate after the warm-up, as a function of the steps since then."""
    schedule, largest = config.schedule, config.learning_rate
    share = schedule.final_learning_rate / largest
    if schedule.kind == "cosine":
        return optax.cosine_decay_schedule(largest, _decay_steps(config), alpha=share)
    if schedule.kind == "exponential":
        return optax.exponential_decay(largest, _decay_steps(config), share, end_value=schedule.final_learning_rate)
    if schedule.kind == "step":
        lowest = schedule.final_learning_rate
        return optax.exponential_decay(
            largest, schedule.step_every, schedule.step_factor, staircase=True, end_value=lowest
        )
    return largest


def _decay_steps(config: TrainingConfig) -> int:
    steps, warmup = config.schedule.steps or config.steps, config.schedule.warmup_steps
    if steps is None:
        raise InputError("ScheduleConfig.steps: found None, expected the steps of the training, which has only epochs")
    if steps <= warmup:
        raise InputError(f"ScheduleConfig.warmup_steps: found {warmup}, expected less than the training's {steps}")
    return steps - warmup


def with_schedule_steps(config: RunConfig, total_steps: int) -> RunConfig:
    """Return the config of a training of so many steps, with its schedule's length written down where it matters."""
    schedule = config.training.schedule
    if not schedule.needs_steps or schedule.steps is not None:
        return config
    schedule = dataclasses.replace(schedule, steps=total_steps)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, schedule=schedule))


def current_learning_rate(rate: float | optax.Schedule, opt_state: Any) -> jax.Array:
    """Return the rate of the step that the state of `madsep_jax.train.make_optimizer` comes to next."""
    return jnp.asarray(rate(opt_state[1][0].count) if callable(rate) else rate, jnp.result_type(float))
