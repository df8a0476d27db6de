"""The dilated GRU against the ordinary one, against a plain loop, and by what reaches what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madsep_jax.models.cost import flops
from madsep_jax.models.dilated import DilatedGru, from_batch, to_batch
from madsep_jax.models.gru import Gru


def sequence(frames, features=3, batch=2, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, frames, features)).astype(np.float32)


def variables_of(layer, x_BTD, seed=1):
    """Parameters that are all of about 1: the initial biases, which are 0, would hide what padding does."""
    variables = jax.eval_shape(layer.init, jax.random.key(0), x_BTD)
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * random.normal(size=leaf.shape), leaf.dtype), variables)


def loop(x_BTD, params, dilation, order):
    """The equations of `madsep_jax.models.gru`, in float64; a step reads `dilation` steps before."""
    params = {name: np.asarray(value, np.float64) for name, value in params.items()}
    hidden = params["recurrent_kernel"].shape[0]
    out_BTH = np.zeros((*x_BTD.shape[:2], hidden))
    for number, t in enumerate(order):
        before = np.zeros((len(x_BTD), hidden)) if number < dilation else out_BTH[:, order[number - dilation]]
        x_gates = np.split(x_BTD[:, t] @ params["input_kernel"] + params["input_bias"], 3, axis=-1)
        h_gates = np.split(before @ params["recurrent_kernel"] + params["recurrent_bias"], 3, axis=-1)
        r, z = (1 / (1 + np.exp(-x - h)) for x, h in zip(x_gates[:2], h_gates[:2], strict=True))
        n = np.tanh(x_gates[2] + r * h_gates[2])
        out_BTH[:, t] = (1 - z) * n + z * before
    return out_BTH


def test_dilation_1_is_an_ordinary_gru():
    """Oracle: `Gru` with the same parameters, equal in every bit."""
    x_BTD = sequence(7)
    variables = variables_of(DilatedGru(4, 1, bidirectional=True), x_BTD)
    out_BTH = DilatedGru(4, 1, bidirectional=True).apply(variables, x_BTD)
    for half, (name, reverse) in zip(np.split(out_BTH, 2, -1), [("forward", False), ("backward", True)], strict=True):
        expected_BTH = Gru(4, reverse).apply({"params": variables["params"][name]}, x_BTD)
        np.testing.assert_array_equal(half, expected_BTH)


@pytest.mark.thorough
@settings(max_examples=20)
@given(frames=st.integers(1, 11), dilation=st.integers(1, 6))
def test_any_length_and_dilation_are_those_of_a_plain_loop(frames, dilation):
    """Oracle: the loop above; float32 against float64, 1e-5."""
    x_BTD = sequence(frames, seed=frames)
    layer = DilatedGru(4, dilation, bidirectional=True)
    variables = variables_of(layer, x_BTD, seed=dilation)
    forward, backward = (variables["params"][name] for name in ("forward", "backward"))
    steps = list(range(frames))
    expected_BTH = np.concatenate(
        [loop(x_BTD, forward, dilation, steps), loop(x_BTD, backward, dilation, steps[::-1])], axis=-1
    )
    np.testing.assert_allclose(layer.apply(variables, x_BTD), expected_BTH, atol=1e-5)


@pytest.mark.parametrize(("frames", "dilation"), [(1, 1), (2, 6), (11, 4), (6, 3)])
def test_edges_of_length_and_dilation(frames, dilation):
    """One step, fewer steps than the dilation, a number that it does not divide, one that it does."""
    test_any_length_and_dilation_are_those_of_a_plain_loop.hypothesis.inner_test(frames, dilation)


@pytest.mark.parametrize(("frames", "dilation"), [(12, 4), (11, 4), (9, 2)])
def test_a_step_reaches_every_kth_later_step_and_no_other(frames, dilation):
    """Oracle: the Jacobian is nonzero at t, t + k, t + 2k, … and exactly 0 elsewhere."""
    x_BTD = sequence(frames, batch=1)
    layer = DilatedGru(4, dilation)
    variables = variables_of(layer, x_BTD)
    jacobian = jax.jit(jax.jacobian(lambda x: layer.apply(variables, x)[0].sum(-1)))(x_BTD)[:, 0]  # out, in, features
    reached = np.abs(jacobian).max(-1) > 0
    later = np.subtract.outer(np.arange(frames), np.arange(frames))
    np.testing.assert_array_equal(reached, (later >= 0) & (later % dilation == 0))


def test_interleaving_is_undone():
    x_BTD = sequence(12)
    np.testing.assert_array_equal(from_batch(to_batch(x_BTD, 4), 4), x_BTD)
    np.testing.assert_array_equal(to_batch(x_BTD, 4)[1], x_BTD[0, 1::4])


def test_steps_run_side_by_side():
    """Oracle: one scan of ceil(T / k) steps, and the operations of both matrix products of a GRU, within 5 %."""
    x_BTD = sequence(58, features=64)
    layer = DilatedGru(64, 4)
    variables = variables_of(layer, x_BTD)
    program = jax.make_jaxpr(layer.apply)(variables, x_BTD)
    lengths = [int(part) for part in str(program).split("length=")[1:] for part in [part.split()[0]]]
    assert lengths == [15]
    products = 2 * 2 * 60 * (64 * 192 + 64 * 192)  # two per multiply-add, a batch of 2, 60 steps with those padded
    assert flops(layer.apply, variables, x_BTD) == pytest.approx(products, rel=0.05)
