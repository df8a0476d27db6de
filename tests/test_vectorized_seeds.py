"""Seeds trained together, in one program: each as it is trained alone."""

import dataclasses

import jax
import numpy as np
import pytest
from tame_state import tame_state
from tiny import DWS, GRU, magnitudes

from madsep_jax.config.io import override
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.parallel.layout import compile_layout, make_layout
from madsep_jax.parallel.program import Program, group_steps, stack_batches, stack_states, state_of_seed
from madsep_jax.train.batch import Batch
from madsep_jax.train.running import NonFiniteLossError, fit_seeds
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
    """Train each of (state, batches) on one device, by one program; the states and each step's metrics of each seed."""
    layout = make_layout(config, ParallelConfig(devices=1, steps_per_call=program.steps), program)
    call, found = None, []
    for state, batches in runs:
        groups = [layout.place_batch(group) for group in group_steps(batches, program.steps)]
        state = layout.place_state(state)
        call = call or compile_layout(layout, state, groups[0])[0]
        seen = []
        state = fit_seeds(
            state,
            call,
            groups,
            lambda step, values, seen=seen: seen.append((step, values)),
            save_due=lambda step: False,
            save=lambda state: None,
            done=0,
            seeds=program.seeds or 1,
        )
        found.append((layout.whole_state(state), seen))
    return found


@pytest.mark.parametrize("system", ["dws", "ris"])
def test_each_seed_is_trained_as_alone(system, float64):
    """With dropout (DWS) and with an end of the recurrent inference of each seed's own; two steps in a call."""
    configs = [of_seed(SYSTEMS[system], seed) for seed in range(SEEDS)]
    states = [tame_state(init_state(config), "float64") for config in configs]
    of_all = [stack_batches([batch(seed, step, configs[0]) for seed in range(SEEDS)]) for step in range(STEPS)]
    ((together, seen),) = train(configs[0], Program(steps=2, seeds=SEEDS), [(stack_states(states), of_all)])
    assert [step for step, _ in seen] == list(range(1, STEPS + 1))
    runs = [(state, [batch(seed, step, configs[0]) for step in range(STEPS)]) for seed, state in enumerate(states)]
    for seed, (alone, expected) in enumerate(train(configs[0], Program(), runs)):
        for (_, values), (_, (of_one,)) in zip(seen, expected, strict=True):
            assert values[seed] == pytest.approx(of_one, rel=1e-9)
        assert_same(state_of_seed(together, seed), dataclasses.replace(alone, gradient=None))


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


def reported(losses, seeds, due=frozenset()):
    """Run calls that return these losses; the steps reported, and those after which a save came."""
    seen, saved, calls = [], [], iter(losses)
    fit_seeds(
        None,
        lambda state, batch: (batch, {"loss": np.asarray(next(calls))}),
        range(len(losses)),
        lambda step, values: seen.append((step, [value["loss"] for value in values])),
        save_due=lambda steps: not due.isdisjoint(steps),
        save=saved.append,
        done=5,
        seeds=seeds,
    )
    return seen, saved


def test_calls_of_several_steps_and_seeds_are_reported_step_by_step():
    losses = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]  # the last call does one step
    assert reported(losses, seeds=2)[0] == [(6, [1.0, 2.0]), (7, [3.0, 4.0]), (8, [5.0, 6.0])]
    assert reported([[1.0, 2.0]], seeds=1)[0] == [(6, [1.0]), (7, [2.0])]
    assert reported([1.0], seeds=1)[0] == [(6, [1.0])]


def test_a_save_comes_after_the_call_in_which_it_is_due():
    losses = [[1.0, 2.0], [3.0, 4.0], [5.0]]
    assert reported(losses, seeds=1, due={6})[1] == [0]
    assert reported(losses, seeds=1, due={9, 10})[1] == [1, 2]


def test_any_seed_that_is_not_finite_stops_them():
    with pytest.raises(NonFiniteLossError, match="loss is nan at step 7"):
        reported([[[1.0, 2.0], [3.0, np.nan]]], seeds=2)
