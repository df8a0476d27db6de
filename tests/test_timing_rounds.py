"""Who is timed when. Oracles: clocks made for the purpose."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("cyclopts")

from experiments.benchmarks.rounds import CompiledWhileTimedError, Times, interleave, no_compilation


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
    rounds = []
    times = interleave(runs, steps=3, seconds=100, turns=5, on_round=rounds.append, clock=clock)
    assert "".join(clock.order) == "aabbcc" + "bbccaa" + "ccaabb"  # the first of each turn is not timed
    assert {name: found.step_s for name, found in times.items()} == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}
    assert rounds == [1, 2, 3]


def test_the_first_step_of_a_turn_is_not_timed():
    clock = Clock()
    previous = [""]

    def step(name):
        def run():
            clock.now += 1.0 if previous[0] == name else 9.0  # what follows another is slow
            previous[0] = name

        return run

    times = interleave({"a": step("a"), "b": step("b")}, steps=20, seconds=100, turns=5, clock=clock)
    assert times == {"a": Times([1.0] * 20), "b": Times([1.0] * 20)}


@pytest.mark.parametrize("steps", [1, 4, 5, 7, 23])
def test_each_does_the_steps_that_were_asked_for(steps):
    clock = Clock()
    times = interleave({"a": clock.step("a", 0.1)}, steps=steps, seconds=100, turns=5, clock=clock)
    assert len(times["a"].step_s) == steps
    assert len(clock.order) == steps + min(steps, 5)


def test_what_is_slow_does_fewer_steps_but_one_in_each_round():
    clock = Clock()
    runs = {"fast": clock.step("fast", 1.0), "slow": clock.step("slow", 40.0), "slowest": clock.step("slowest", 99.0)}
    times = interleave(runs, steps=20, seconds=60, turns=5, clock=clock)
    assert {name: len(found.step_s) for name, found in times.items()} == {"fast": 20, "slow": 5, "slowest": 5}
    assert clock.order[-9:] == ["slow"] * 2 + ["slowest"] * 2 + ["fast"] * 5  # all are in the last round


def test_a_failure_is_kept_and_the_others_go_on():
    clock = Clock()

    def fail():
        if clock.now > 1:
            raise RuntimeError("RESOURCE_EXHAUSTED:\n out of memory")

    times = interleave({"a": clock.step("a", 1.0), "b": fail}, steps=5, seconds=100, turns=5, clock=clock)
    assert len(times["a"].step_s) == 5
    assert times["b"] == Times(failure="RuntimeError: RESOURCE_EXHAUSTED: out of memory")


def test_nothing_is_measured_for_what_has_failed():
    def fail():
        raise MemoryError("none left")

    rounds = []
    interleave({"a": fail}, steps=5, seconds=100, turns=5, on_round=rounds.append)
    assert rounds == [1]


def test_a_mistake_is_no_failure_to_go_on_from():
    def wrong():
        raise TypeError("takes 2 arguments")

    with pytest.raises(TypeError):
        interleave({"a": wrong}, steps=1, seconds=1, turns=5)


def test_compiling_in_a_timed_step_is_an_error():
    sizes = itertools.count(3)
    with pytest.raises(CompiledWhileTimedError, match="new shapes: 2 programs were compiled in a timed step"):
        interleave({"new shapes": lambda: jax.jit(lambda x: x + 1)(np.ones(next(sizes)))}, steps=2, seconds=9, turns=5)


def test_a_compiled_program_compiles_nothing():
    x = jnp.ones(5)
    compiled = jax.jit(lambda x: x * 3).lower(x).compile()
    with no_compilation("compiled"):
        compiled(x).block_until_ready()
