"""The fast form of the GRU's recurrence. Oracle: the plain form, value and every gradient, 1e-10 in float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_cases import MASKERS, outcome_of_system, scan_arguments, value_and_gradients
from tiny import GRU, assert_close, enable_float64

from madsep_jax import ComputeConfig
from madsep_jax.models.gru import Gru
from madsep_jax.ops.fast_gru import fast_gru_scan
from madsep_jax.ops.gru import gru_scan

TOLERANCE = 1e-10


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_value_and_gradients_of_any_shape(steps, batch, hidden, reverse):
    with enable_float64():
        given = scan_arguments(steps, batch, hidden)
        found, expected = (value_and_gradients(scan, given, reverse) for scan in (fast_gru_scan, gru_scan))
        jax.tree.map(functools.partial(assert_close, tolerance=TOLERANCE), found, expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, False), (5, 3, 4, True)])
def test_value_and_gradients_at_the_edges(shape):
    test_value_and_gradients_of_any_shape.hypothesis.inner_test(*shape)


@pytest.mark.parametrize("reverse", [False, True])
def test_mapped_over_seeds(float64, reverse):
    """All arguments with a further axis, as for a batch of seeds: value and gradients are those of each alone."""
    seeds = [scan_arguments(4, 2, 3, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    found = jax.vmap(lambda *given: value_and_gradients(fast_gru_scan, given, reverse))(*stacked)
    alone = [value_and_gradients(gru_scan, given, reverse) for given in seeds]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    jax.tree.map(functools.partial(assert_close, tolerance=TOLERANCE), found, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_passes_through(dtype):
    given = scan_arguments(3, 2, 4, dtype=dtype)
    h_TBH, pull = jax.vjp(fast_gru_scan, *given)
    assert [array.dtype for array in (h_TBH, *pull(h_TBH))] == [dtype] * 4


def stacked_arrays(program):
    """How many arrays the scans of a traced function, however deep inside it, stack over their steps."""
    count = 0
    for equation in program.eqns:
        if equation.primitive.name == "scan":
            body = getattr(equation.params["jaxpr"], "jaxpr", equation.params["jaxpr"])
            of_a_step = [variable.aval.ndim for variable in body.outvars]
            count += sum(out.aval.ndim > ndim for out, ndim in zip(equation.outvars, of_a_step, strict=True))
        inner = (getattr(value, "jaxpr", value) for value in equation.params.values())
        count += sum(stacked_arrays(value) for value in inner if hasattr(value, "eqns"))
    return count


def test_without_a_gradient_only_the_states_are_kept():
    """Oracle: the traced scan stacks one array; with a gradient five, and the backward scan one."""
    given = scan_arguments(3, 2, 4, dtype=np.float32)
    gradient = jax.grad(lambda *given: fast_gru_scan(*given).sum(), argnums=(0, 1, 2))
    assert stacked_arrays(jax.make_jaxpr(fast_gru_scan)(*given).jaxpr) == 1
    assert stacked_arrays(jax.make_jaxpr(gradient)(*given).jaxpr) == 5 + 1


def test_the_configuration_chooses(monkeypatch):
    chosen = []
    monkeypatch.setattr("madsep_jax.models.gru.fast_gru_scan", lambda *given: chosen.append("fast") or gru_scan(*given))
    monkeypatch.setattr("madsep_jax.models.gru.gru_scan", lambda *given: chosen.append("plain") or gru_scan(*given))
    for operations in ("plain", "fast"):
        Gru(3, compute=ComputeConfig(operations=operations)).init(jax.random.key(0), jnp.zeros((1, 2, 3)))
    assert chosen == ["plain", "fast"]


FURTHER = ("mad", "dilated masker")  # their parts are those of the others


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough) if name in FURTHER else name for name in MASKERS]
)
def test_every_system(name, float64):
    """Outputs in evaluation and training, and the gradient of the whole loss, at parameters that are all of about 1."""
    run = dataclasses.replace(GRU, masker=MASKERS[name])
    found, expected = (outcome_of_system(run, ComputeConfig(operations=form)) for form in ("fast", "plain"))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(expected[2]))
    jax.tree.map(functools.partial(assert_close, tolerance=TOLERANCE), found, expected)
