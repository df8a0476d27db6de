"""A training under way: one way to make a call, and to fetch what it found while the next one runs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from madsep_jax.train.batch import Metrics, TrainState

#: The metrics of one step, by seed.
BySeed = list[dict[str, float]]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite. Carries the step, counted from 1."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss is {loss} at step {step}")
        self.step = step


class Running:
    """A state, the program that advances it, and the calls that have been sent off and not been reported yet.

    A call's metrics are fetched while the next call already runs, so that the device does not wait for the host.
    """

    def __init__(
        self,
        state: TrainState,
        program: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
        done: int = 0,
        seeds: int = 1,
    ) -> None:
        """Take over a training of so many seeds after the steps that are done; the state's buffers are given up.

        The program is compiled, see `madsep_jax.train.step.compile_train_step` and `madsep_jax.parallel`. The axes of
        its metrics are those of a `madsep_jax.parallel.program.Program`.
        """
        self.state = state
        """After the last call. The next call takes its buffers."""
        self._program, self._done, self._seeds = program, done, seeds
        self._sent: deque[tuple[range, Metrics]] = deque()

    def advance(self, batch: Any) -> range:
        """Send a call off; return the numbers of the steps that it does, from 1."""
        self.state, metrics = self._program(self.state, batch)
        steps = range(self._done + 1, self._done + 1 + np.size(metrics["loss"]) // self._seeds)
        self._done = steps[-1]
        self._sent.append((steps, metrics))
        return steps

    def reports(self, keep: int = 1) -> Iterator[tuple[range, list[BySeed]]]:
        """Yield the steps of each call, and the metrics of each step, for all calls but the last `keep`.

        Raises:
            NonFiniteLossError: at a step with a loss that is NaN or infinite; those before it are yielded.
        """
        while len(self._sent) > keep:
            steps, metrics = self._sent.popleft()
            by_step = _by_step(metrics, self._seeds)
            for number, by_seed in enumerate(by_step):
                lost = [of_seed["loss"] for of_seed in by_seed if not np.isfinite(of_seed["loss"])]
                if lost:
                    if number:
                        yield steps[:number], by_step[:number]
                    raise NonFiniteLossError(steps[number], lost[0])
            yield steps, by_step


def fit(
    state: TrainState,
    train_step: Callable[[TrainState, Any], tuple[TrainState, Metrics]],
    batches: Iterable[Any],
    on_step: Callable[[int, dict[str, float]], None],
    save_due: Callable[[int], bool] = lambda step: False,
    save: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Run a step on each batch, report each once it is done, and return the state after the last.

    Args:
        state: where to start; its buffers are given up.
        train_step: compiled, see `Running`.
        batches: one for each call of the step.
        on_step: called in order with each step's number, from 1, and its metrics.
        save_due: whether to save after the step of that number.
        save: called then with the state, all steps up to it reported. It must not keep the state: the next step takes
            its buffers.

    Raises:
        NonFiniteLossError: after a step with a loss that is NaN or infinite; nothing is saved from that step on.
    """
    run = Running(state, train_step, int(state.step))

    def report(keep: int) -> None:
        for steps, by_step in run.reports(keep):
            for step, (values,) in zip(steps, by_step, strict=True):
                on_step(step, values)

    for batch in batches:
        due = any([save_due(step) for step in run.advance(batch)])
        report(keep=0 if due else 1)
        if due:
            save(run.state)
    report(keep=0)
    return run.state


def _by_step(metrics: Metrics, seeds: int) -> list[BySeed]:
    values = {name: np.reshape(value, (-1, seeds)) for name, value in jax.device_get(metrics).items()}
    return [
        [{name: float(value[step, seed]) for name, value in values.items()} for seed in range(seeds)]
        for step in range(len(values["loss"]))
    ]
