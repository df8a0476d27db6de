"""The training loop."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from madsep_jax.train.state import Metrics, TrainState


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite. Carries the step, counted from 1."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss is {loss} at step {step}")
        self.step = step


#: Called with a step's number, from 1, and the metrics of each seed.
OnSteps = Callable[[int, list[dict[str, float]]], None]


def fit(
    state: TrainState,
    train_step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    batches: Iterable[Any],
    on_step: Callable[[int, dict[str, float]], None],
    save_due: Callable[[int], bool] = lambda step: False,
    save: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Run a step on each batch, and report each step once it is done. See `fit_seeds`; here is one seed."""
    done = int(state.step)

    def any_due(steps: range) -> bool:
        return any([save_due(step) for step in steps])

    return fit_seeds(state, train_step, batches, lambda step, seeds: on_step(step, seeds[0]), any_due, save, done)


def fit_seeds(
    state: TrainState,
    train_step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    batches: Iterable[Any],
    on_step: OnSteps,
    save_due: Callable[[range], bool],
    save: Callable[[TrainState], None],
    done: int,
    seeds: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> TrainState:
    """Run a step of all seeds on each batch, and report each step once it is done.

    A step's metrics are fetched while the next one already runs, so that the device does not wait for the host.

    Args:
        state: where to start; its buffers are given up.
        train_step: compiled, see `madsep_jax.train.step.compile_train_step` and `madsep_jax.parallel`. The axes of its
            metrics are those of a `madsep_jax.parallel.program.Program`.
        batches: one for each call of the step.
        on_step: called in order with each step's number, from 1, and the metrics of each seed.
        save_due: whether to save after the steps of those numbers, which one call has done.
        save: called then with the state, all steps up to it reported. It must not keep the state: the next step takes
            its buffers.
        done: steps done before.
        seeds: that are trained together.
        stop: whether to leave the rest of the batches; asked after each save.

    Returns:
        The state after the last step.

    Raises:
        NonFiniteLossError: after a step with a loss that is NaN or infinite; nothing is saved from that step on.
    """
    unreported: list[tuple[int, Metrics]] = []

    def report(keep: int) -> None:
        while len(unreported) > keep:
            first, metrics = unreported.pop(0)
            for step, values in enumerate(_by_step(metrics, seeds), first):
                for of_seed in values:
                    if not np.isfinite(of_seed["loss"]):
                        raise NonFiniteLossError(step, of_seed["loss"])
                on_step(step, values)

    for batch in batches:
        state, metrics = train_step(state, batch)
        last = done + np.size(metrics["loss"]) // seeds
        unreported.append((done + 1, metrics))
        due = save_due(range(done + 1, last + 1))
        done = last
        report(keep=0 if due else 1)
        if due:
            save(state)
            if stop():
                break
    report(keep=0)
    return state


def _by_step(metrics: Metrics, seeds: int) -> list[list[dict[str, float]]]:
    """Return the metrics of each step of a call, by seed."""
    values = {name: np.reshape(value, (-1, seeds)) for name, value in jax.device_get(metrics).items()}
    steps = len(values["loss"])
    return [
        [{name: float(value[step, seed]) for name, value in values.items()} for seed in range(seeds)]
        for step in range(steps)
    ]
