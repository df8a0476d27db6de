"""The fused optimiser. Oracle: optax's chain of clipping and Adam; 1e-12 in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import GRU, magnitudes

from madsep_jax import ComputeConfig, TrainingConfig
from madsep_jax.checkpoint.folder import restore_state, save_checkpoint
from madsep_jax.train.batch import Batch
from madsep_jax.train.optimizer import fused_update, make_optimizer, optax_update
from madsep_jax.train.step import init_state, make_train_step

CONFIG = TrainingConfig(learning_rate=1e-2, adam_b1=0.8, adam_b2=0.95, adam_epsilon=1e-3, gradient_clip=0.5)


def tree(seed, scale=1.0, dtype=np.float64):
    """Arrays of any rank."""
    random = np.random.default_rng(seed)
    shapes = {"kernel": (3, 4), "bias": (4,), "scale": ()}
    return {name: jnp.asarray(scale * random.normal(size=shape), dtype) for name, shape in shapes.items()}


def run(update, gradients, dtype=np.float64):
    """All that several steps leave, step by step."""
    params = tree(0, dtype=dtype)
    opt_state, history = make_optimizer(CONFIG).init(params), []
    for gradient in gradients:
        params, opt_state, norm = jax.jit(update)(gradient, opt_state, params)
        history.append((params, opt_state, norm))
    return history


def assert_equal(found, expected, tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scales", [(1e-3,) * 3, (10.0,) * 3, (0.0,) * 3, (3.0, 1e-3, 0.0, 0.1, 5.0)])
def test_steps(float64, scales):
    """Below the clip, above it, without any gradient, and one after the other: parameters, moments, count and norm."""
    gradients = [tree(number + 1, scale) for number, scale in enumerate(scales)]
    found, expected = run(fused_update(CONFIG), gradients), run(optax_update(make_optimizer(CONFIG)), gradients)
    assert_equal(found, expected, 1e-12)
    assert found[-1][1][1][0].count == len(scales)


@pytest.mark.parametrize(("norm", "expected"), [(0.25, 0.25), (0.5, 0.5), (2.0, 0.5)])
def test_the_norm_is_clipped(float64, norm, expected):
    """Oracle: after one step the first moment is (1 - b1) times the clipped gradient."""
    gradient = tree(1)
    gradient = jax.tree.map(lambda leaf: leaf * norm / optax.tree.norm(gradient), gradient)
    updated = run(fused_update(CONFIG), [gradient])[0]
    assert updated[2] == pytest.approx(norm)
    assert optax.tree.norm(updated[1][1][0].mu) == pytest.approx((1 - CONFIG.adam_b1) * expected)


def test_a_gradient_that_is_not_a_number_spoils_everything_as_in_optax(float64):
    gradient = tree(1) | {"scale": jnp.asarray(np.nan)}
    for update in (fused_update(CONFIG), optax_update(make_optimizer(CONFIG))):
        assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(run(update, [gradient])[0][0]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes_are_those_of_optax(dtype):
    gradients = [tree(1, dtype=dtype)]
    updates = fused_update(CONFIG), optax_update(make_optimizer(CONFIG))
    found, expected = (run(update, gradients, dtype) for update in updates)
    assert [leaf.dtype for leaf in jax.tree.leaves(found[0][0])] == [dtype] * 3
    assert jax.tree.structure(found) == jax.tree.structure(expected)


def in_float64(tree):
    return jax.tree.map(lambda leaf: leaf.astype(np.float64), tree)


def test_training_goes_on_in_the_other_form(float64, tmp_path):
    """A step in one form, a checkpoint, a step in the other: the order makes no difference."""
    configs = [dataclasses.replace(GRU, compute=ComputeConfig(operations=form)) for form in ("plain", "fast")]
    start = init_state(GRU)
    params = in_float64(start.params)
    start = dataclasses.replace(start, params=params, opt_state=make_optimizer(GRU.training).init(params))
    mix_BSF = magnitudes(2, GRU.sequences.frames, GRU.signal.bins)
    batch = in_float64(Batch(mix_BSF, 0.3 * mix_BSF[:, 2:-2]))
    steps, ends = [jax.jit(make_train_step(config)) for config in configs], []
    for first, second in ((0, 1), (1, 0)):
        folder = tmp_path / configs[first].compute.operations
        state, _ = steps[first](start, batch)
        save_checkpoint(folder, configs[first], state)
        state, _ = steps[second](restore_state(folder, state), batch)
        ends.append((state.params, state.opt_state))
    assert_equal(ends[0], ends[1], 1e-9)
