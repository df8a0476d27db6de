"""What several processes that train together do next: all of them the same, after the same step."""

import time
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

_EVERY_S = 2.0


class Wishes(NamedTuple):
    """What a process wants to be done after a step."""

    save: bool = False
    stop: bool = False
    fail: bool = False
    """It cannot go on."""


class Agreement:
    """Puts the wishes of all processes together: what one wants is done by all.

    They meet after steps that all of them know beforehand, every two seconds or so by the first one's clock: a meeting
    takes about as long as a small step. A process that trains alone always agrees with itself.
    """

    def __init__(self, first_step: int) -> None:
        """Begin after so many steps."""
        self._met, self._stride = first_step, 1
        self._time = time.perf_counter()

    def on(self, step: int, wishes: Wishes) -> Wishes:
        """Return what is to be done after a step; nothing where they do not meet. To be called in all processes."""
        if jax.process_count() == 1:
            return wishes
        if step < self._met + self._stride:
            return Wishes()
        now = time.perf_counter()
        step_s = (now - self._time) / (step - self._met)
        all_PW = multihost_utils.process_allgather(np.array([*wishes, step_s], np.float32))
        # No more than twice as far as the last time: the first steps may only have been sent off, not done.
        self._stride = max(1, min(2 * self._stride, int(_EVERY_S / max(float(all_PW[0, -1]), 1e-9))))
        self._met, self._time = step, time.perf_counter()
        return Wishes(*(bool(any_W) for any_W in all_PW[:, :-1].any(axis=0)))
