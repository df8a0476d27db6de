"""Seeds trained together, in one program: each as it is trained alone."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.program import Program
from madsep_jax.train.batch import Batch
from madsep_jax.train.running import NonFiniteLossError, Running, fit
from madsep_jax.train.step import init_state

SEEDS, STEPS = 3, 4
SYSTEMS = {
    "dws": DWS,
    "ris": override(GRU, {"masker.recurrent_iterations": 2, "masker.recurrent_tolerance": 1e-4}),
}


def of_seed(config, seed):
    return override(config, {"training.seed": seed, "training.learning_rate": 1e-3})


def in_float64(tree):
    return jax.tree.map(
        lambda leaf: leaf.astype("float64") if jax.numpy.issubdtype(leaf.dtype, np.floating) else leaf, tree
    )


def batch(seed, step, config):
    """Of its own for each seed, as each has its own order of the sequences."""
    mix_BSF = magnitudes(config.training.batch_size, config.sequences.frames, config.signal.bins, seed=10 * seed + step)
    middle = slice(config.sequences.context, -config.sequences.context)
    return in_float64(Batch(mix_BSF, 0.5 * mix_BSF[:, middle]))


def train(config, program, runs):
    """Train each of (states, batches of each) on one device; the states, and each step's metrics of each seed."""
    layout = make_layout(config, ParallelConfig(devices=1, steps_per_call=program.steps), program)
    call, found = None, []
    for states, batches in runs:
        groups = [layout.place_batch(group) for group in program.join_batches(batches)]
        state = layout.place_state(program.join_states(states))
        call = call or compile_layout(layout, state, groups[0])[0]
        run, seen = Running(state, call, seeds=program.seeds), []
        for group in groups:
            run.advance(group)
            seen += [each for report in run.reports() for each in zip(*report, strict=True)]
        seen += [each for report in run.reports(keep=0) for each in zip(*report, strict=True)]
        found.append((program.split_states(layout.whole_state(run.state)), seen))
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("system", ["dws", pytest.param("ris", marks=pytest.mark.thorough)])
def test_each_seed_is_trained_as_alone(system, float64):
    """With dropout (DWS) and with an end of the recurrent inference of each seed's own; two steps in a call."""
    configs = [of_seed(SYSTEMS[system], seed) for seed in range(SEEDS)]
    states = [tame_state(init_state(config), "float64") for config in configs]
    of_all = [[batch(seed, step, configs[0]) for step in range(STEPS)] for seed in range(SEEDS)]
    ((together, seen),) = train(configs[0], Program(steps=2, seeds=SEEDS), [(states, of_all)])
    assert [step for step, _ in seen] == list(range(1, STEPS + 1))
    runs = [([state], [batches]) for state, batches in zip(states, of_all, strict=True)]
    for seed, ((alone,), expected) in enumerate(train(configs[0], Program(), runs)):
        for (_, values), (_, (of_one,)) in zip(seen, expected, strict=True):
            assert values[seed] == pytest.approx(of_one, rel=1e-9)
        assert_same(together[seed], dataclasses.replace(alone, gradient=None))


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        scale = np.abs(b).max(initial=0)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * float(scale), err_msg=name)


def test_seeds_start_differently():
    kernels = [init_state(of_seed(DWS, seed)).params["denoiser"]["decoder"]["kernel"] for seed in range(2)]
    assert not np.allclose(*kernels)


def running(losses, seeds):
    """A training after five steps, whose calls return these losses; the batches are the numbers of the calls."""
    return Running(None, lambda state, call: (call, {"loss": np.asarray(losses[call])}), done=5, seeds=seeds)


def losses_of(reports):
    return [(steps, [[value["loss"] for value in by_seed] for by_seed in by_step]) for steps, by_step in reports]


def test_calls_of_several_steps_and_seeds_are_reported_one_call_behind():
    run = running([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]], seeds=2)  # the last call does one step
    assert run.advance(0) == range(6, 8)
    assert losses_of(run.reports()) == []
    assert run.advance(1) == range(8, 9)
    assert losses_of(run.reports()) == [(range(6, 8), [[1.0, 2.0], [3.0, 4.0]])]
    assert losses_of(run.reports(keep=0)) == [(range(8, 9), [[5.0, 6.0]])]
    assert losses_of(run.reports(keep=0)) == []
    assert run.state == 1


@pytest.mark.parametrize(("losses", "steps"), [([1.0, 2.0], range(6, 8)), (1.0, range(6, 7))])
def test_calls_of_one_seed_have_no_axis_of_it(losses, steps):
    run = running([losses], seeds=1)
    assert run.advance(0) == steps
    assert losses_of(run.reports(keep=0)) == [(steps, [[loss] for loss in np.ravel(losses)])]


def test_any_seed_that_is_not_finite_stops_them_and_the_steps_before_are_reported():
    run, seen = running([[[1.0, 2.0], [3.0, np.nan]]], seeds=2), []
    run.advance(0)
    with pytest.raises(NonFiniteLossError, match="loss is nan at step 7"):
        seen.extend(run.reports(keep=0))
    assert losses_of(seen) == [(range(6, 7), [[1.0, 2.0]])]


def test_fit_saves_after_the_call_in_which_a_save_is_due():
    """Oracle: by hand; calls of two steps, two and one after five steps, of which 6, or 9 and 10, are due."""
    for due, calls in (({6}, [0]), ({9, 10}, [1, 2])):
        losses, seen, saved = [[1.0, 2.0], [3.0, 4.0], [5.0]], [], []

        def step(state, call, losses=losses):
            return SimpleNamespace(step=call), {"loss": np.asarray(losses[call])}

        def save(state, saved=saved, seen=seen):
            saved.append(state.step)
            assert seen[-1] == {0: 7, 1: 9, 2: 10}[state.step]

        fit(
            SimpleNamespace(step=5),
            step,
            range(3),
            lambda step, _, seen=seen: seen.append(step),
            due.__contains__,
            save,
        )
        assert seen == [6, 7, 8, 9, 10]
        assert saved == calls
