"""The GRU's recurrence for GPUs and TPUs, traced for them and run here. Oracle: the plain form, 1e-10 in float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_cases import MASKERS, outcome_of_system, scan_arguments, value_and_gradients
from tiny import GRU, assert_close, enable_float64, magnitudes

from madsep_jax import ComputeConfig
from madsep_jax.models.gru import Gru, both_directions
from madsep_jax.models.variables import inference_variables
from madsep_jax.ops.fast_gru import KERNEL_BY_ROWS
from madsep_jax.ops.gru import gru_scan
from madsep_jax.ops.unrolled_gru import FORMS, unrolled_gru_scan
from madsep_jax.train.batch import Batch
from madsep_jax.train.optimizer import make_optimizer
from madsep_jax.train.step import init_state, make_train_step

TOLERANCE = 1e-10
close = functools.partial(assert_close, tolerance=TOLERANCE)


def scan_for(target):
    return lambda *given: unrolled_gru_scan(*given, target)


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(1, 23), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.sampled_from(sorted(FORMS)))
def test_value_and_gradients_of_any_shape(steps, batch, hidden, reverse, target):
    with enable_float64():
        given = scan_arguments(steps, batch, hidden)
        found, expected = (value_and_gradients(scan, given, reverse) for scan in (scan_for(target), gru_scan))
        jax.tree.map(close, found, expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, False), (23, 1, 4, True)])
@pytest.mark.parametrize("target", FORMS)
def test_value_and_gradients_at_the_edges(shape, target):
    """One step alone, and a number of them that the turns do not divide."""
    test_value_and_gradients_of_any_shape.hypothesis.inner_test(*shape, target)


def test_float32():
    """Of the same numbers in float64, 1e-4."""
    gates_TBG, kernel_HG, bias_G = scan_arguments(40, 4, 24, dtype=np.float32)
    given = (gates_TBG, kernel_HG / 5, bias_G)  # as large as it is it would make chaos of any rounding
    found = value_and_gradients(scan_for("gpu"), given, False)
    with enable_float64():
        wide = tuple(jnp.asarray(np.asarray(array), np.float64) for array in given)
        expected = jax.tree.map(np.asarray, value_and_gradients(gru_scan, wide, False))
    jax.tree.map(functools.partial(assert_close, tolerance=1e-4), found, expected)


def test_mapped_over_seeds(float64):
    seeds = [scan_arguments(12, 2, 3, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    found = jax.vmap(lambda *given: value_and_gradients(scan_for("gpu"), given, True))(*stacked)
    alone = [value_and_gradients(gru_scan, given, True) for given in seeds]
    jax.tree.map(close, found, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone))


def test_of_bfloat16_the_state_is_float32():
    """Oracle: the plain form in float64 for the same rounded arguments.

    What is left is the rounding of the products' factors and of the result; the plain form's state is rounded as well.
    """
    given = scan_arguments(40, 4, 64, dtype=jnp.bfloat16)
    given = (given[0], given[1] / 8, given[2])
    found, pull = jax.vjp(lambda *given: unrolled_gru_scan(*given, False, "gpu"), *given)
    assert [array.dtype for array in (found, *pull(found))] == [jnp.bfloat16] * 4
    with enable_float64():
        exact = np.asarray(gru_scan(*jax.tree.map(lambda array: jnp.asarray(np.asarray(array, np.float64)), given)))
    errors = [np.std(np.asarray(h, np.float64) - exact) for h in (found, gru_scan(*given))]
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("remat", [False, True])
def test_two_directions_are_one_scan(float64, remat):
    """Outputs and gradients of each direction are those of it alone, for inputs that differ; the names stay."""

    class Both(nn.Module):
        compute: ComputeConfig

        @nn.compact
        def __call__(self, x_BTD):
            layers = [Gru(3, reverse, self.compute, name=name) for name, reverse in (("ahead", False), ("back", True))]
            return both_directions(*layers, x_BTD, 2 * x_BTD)

    x_BTD = jnp.asarray(magnitudes(2, 13, 4), jnp.float64)
    forms = [ComputeConfig(operations="plain"), ComputeConfig(operations="fast", target="gpu", remat=remat)]
    variables = Both(forms[0]).init(jax.random.key(0), x_BTD)

    def outcome(compute):
        def total(variables):
            ahead, back = Both(compute).apply(variables, x_BTD)
            return jnp.sum(jnp.sin(ahead) + ahead * back), (ahead, back)

        return jax.value_and_grad(total, has_aux=True)(variables)

    jax.tree.map(close, outcome(forms[1]), outcome(forms[0]))
    program = str(jax.make_jaxpr(lambda given: Both(forms[1]).apply(given, x_BTD))(variables))
    assert program.count("scan[") == 1


@pytest.mark.parametrize("target", [pytest.param("tpu", marks=pytest.mark.thorough), "gpu"])
@pytest.mark.parametrize(
    "name", [name if name == "twin" else pytest.param(name, marks=pytest.mark.thorough) for name in MASKERS]
)
def test_every_system(name, target, float64):
    """Outputs in evaluation and training, and the gradient of the whole loss, at parameters that are all of about 1."""
    run = dataclasses.replace(GRU, masker=MASKERS[name])
    forms = ComputeConfig(operations="fast", target=target), ComputeConfig(operations="plain")
    found, expected = (outcome_of_system(run, form) for form in forms)
    jax.tree.map(close, found, expected)


@pytest.mark.thorough
@pytest.mark.parametrize("target", FORMS)
@pytest.mark.parametrize("options", [{}, {"accumulation": 2}])
def test_five_training_steps(target, options, float64):
    """With and without accumulation: losses and parameters are those of the plain form, 1e-7 in float64.

    Adam divides by the gradient's own size, and so makes a step of any rounding where the gradient is next to nothing.
    """
    run = dataclasses.replace(GRU, training=dataclasses.replace(GRU.training, batch_size=4, **options))
    mix_BSF = jnp.asarray(magnitudes(4, run.sequences.frames, run.signal.bins), jnp.float64)
    batch = Batch(mix_BSF, 0.3 * mix_BSF[:, run.sequences.context : -run.sequences.context])
    ends = []
    for compute in (ComputeConfig(operations="fast", target=target), ComputeConfig(operations="plain")):
        config = dataclasses.replace(run, compute=compute)
        state, step, losses = init_state(config), jax.jit(make_train_step(config)), []
        params = jax.tree.map(lambda leaf: leaf.astype(np.float64), state.params)
        state = dataclasses.replace(
            state, params=params, opt_state=make_optimizer(run.training).init(params), gradient=None
        )
        for _ in range(5):
            state, metrics = step(state, batch)
            losses.append(metrics["loss"])
        ends.append((losses, state.params))
    assert ends[1][0][4] < ends[1][0][0]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-7, atol=1e-7), *ends)


@pytest.mark.parametrize("target", FORMS)
def test_an_accelerator_reads_its_kernels_as_they_are(target, monkeypatch):
    """The layout by rows is a CPU's."""
    monkeypatch.setattr("madsep_jax.ops.fast_gru._LARGE_BYTES", 0)
    run = dataclasses.replace(GRU, compute=ComputeConfig(operations="fast", target=target))
    shapes = jax.eval_shape(lambda: inference_variables(run, init_state(run).variables))
    names = {str(path[-1].key) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)}
    assert "recurrent_kernel" in names
    assert KERNEL_BY_ROWS not in names


@pytest.mark.parametrize("target", ["cpu", "gpu", "tpu"])
def test_the_target_chooses(target, monkeypatch):
    chosen = []
    for name, form in (("fast_gru_scan", "cpu"), ("unrolled_gru_scan", "accelerator")):
        monkeypatch.setattr(
            f"madsep_jax.models.gru.{name}", lambda *given, form=form: chosen.append(form) or gru_scan(*given[:4])
        )
    Gru(3, compute=ComputeConfig(operations="auto", target=target)).init(jax.random.key(0), jnp.zeros((1, 2, 3)))
    assert chosen == ["cpu" if target == "cpu" else "accelerator"]
