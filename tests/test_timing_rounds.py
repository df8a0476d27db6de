"""Who is timed when. Oracles: clocks made for the purpose."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("cyclopts")

from experiments.timing.compile_guard import CompiledWhileTimedError, no_compilation
from experiments.timing.rounds import Times, interleave


class Clock:
    """Time that passes only in a step."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def step(self, name, seconds):
        def run():
            self.order.append(name)
            self.now += seconds

        return run

    def __call__(self):
        return self.now


def test_all_take_turns_and_each_goes_first():
    clock = Clock()
    runs = {name: clock.step(name, seconds) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    times = interleave(runs, steps=3, seconds=100, clock=clock)
    assert "".join(clock.order) == "abcbcacab"
    assert {name: found.step_s for name, found in times.items()} == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}


def test_what_is_slow_ends_by_time_but_not_after_one_step():
    clock = Clock()
    runs = {"fast": clock.step("fast", 1.0), "slow": clock.step("slow", 40.0), "slowest": clock.step("slowest", 99.0)}
    times = interleave(runs, steps=20, seconds=60, clock=clock)
    assert {name: len(found.step_s) for name, found in times.items()} == {"fast": 20, "slow": 2, "slowest": 2}


def test_a_failure_is_kept_and_the_others_go_on():
    clock = Clock()

    def fail():
        if clock.now > 1:
            raise RuntimeError("RESOURCE_EXHAUSTED:\n out of memory")

    times = interleave({"a": clock.step("a", 1.0), "b": fail}, steps=5, seconds=100, clock=clock)
    assert len(times["a"].step_s) == 5
    assert times["b"] == Times(failure="RuntimeError: RESOURCE_EXHAUSTED: out of memory")


def test_a_mistake_is_no_failure_to_go_on_from():
    def wrong():
        raise TypeError("takes 2 arguments")

    with pytest.raises(TypeError):
        interleave({"a": wrong}, steps=1, seconds=1)


def test_compiling_in_a_timed_step_is_an_error():
    sizes = itertools.count(3)
    with pytest.raises(CompiledWhileTimedError, match="new shapes: 1 programs were compiled in a timed step"):
        interleave({"new shapes": lambda: jax.jit(lambda x: x + 1)(np.ones(next(sizes)))}, steps=2, seconds=9)


def test_a_compiled_program_compiles_nothing():
    x = jnp.ones(5)
    compiled = jax.jit(lambda x: x * 3).lower(x).compile()
    with no_compilation("compiled"):
        compiled(x).block_until_ready()
