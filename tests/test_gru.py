"""Oracle: the equations in the module's docstring as a plain NumPy loop, float64, 1e-10. Causality is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close, enable_float64

from madsep_jax.models.gru import Gru

B, T, D, H = 3, 6, 4, 5


@pytest.fixture(scope="module")
def variables():
    random = np.random.default_rng(0)
    shapes = {"input_kernel": (D, 3 * H), "input_bias": 3 * H, "recurrent_kernel": (H, 3 * H), "recurrent_bias": 3 * H}
    return {"params": {name: random.normal(size=shape) for name, shape in shapes.items()}}


@pytest.fixture(scope="module")
def x_BTD():
    return np.random.default_rng(1).normal(size=(B, T, D))


@pytest.fixture(scope="module")
def h_BTH(variables, x_BTD):
    with enable_float64():
        return np.asarray(Gru(H).apply(variables, x_BTD))


def plain_gru(params, x_TD):
    """One sequence, one step and one gate at a time."""
    W, b, U, c = (params[n] for n in ("input_kernel", "input_bias", "recurrent_kernel", "recurrent_bias"))
    gate = {name: slice(i * H, (i + 1) * H) for i, name in enumerate("rzn")}
    h, states = np.zeros(H), []
    for x in x_TD:
        from_x = {g: x @ W[:, s] + b[s] for g, s in gate.items()}
        from_h = {g: h @ U[:, s] + c[s] for g, s in gate.items()}
        r = 1 / (1 + np.exp(-from_x["r"] - from_h["r"]))
        z = 1 / (1 + np.exp(-from_x["z"] - from_h["z"]))
        n = np.tanh(from_x["n"] + r * from_h["n"])
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states)


def test_equals_the_plain_loop(variables, x_BTD, h_BTH):
    assert_close(h_BTH, np.stack([plain_gru(variables["params"], x_TD) for x_TD in x_BTD]), 1e-10)


def test_reverse_is_forward_on_the_flipped_input(float64, variables, x_BTD, h_BTH):
    reversed_BTH = Gru(H, reverse=True).apply(variables, x_BTD[:, ::-1])
    assert_close(reversed_BTH[:, ::-1], h_BTH, 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_causality(float64, variables, x_BTD, reverse):
    """Output t depends on exactly the inputs up to t; reversed, on those from t on. And on no other sequence."""
    sums_of = jax.jacrev(lambda x: jnp.sum(Gru(H, reverse=reverse).apply(variables, x), axis=2))
    depends_BTBT = np.abs(sums_of(jnp.asarray(x_BTD))).sum(axis=4) > 0
    earlier_TT = np.tril(np.ones((T, T), bool))
    expected_TT = earlier_TT.T if reverse else earlier_TT
    np.testing.assert_array_equal(depends_BTBT, np.eye(B, dtype=bool)[:, None, :, None] & expected_TT[:, None])


def test_sequences_of_a_batch_are_independent(float64, variables, x_BTD, h_BTH):
    assert_close(Gru(H).apply(variables, x_BTD[1:2]), h_BTH[1:2], 1e-12)


def test_initialisation():
    """Xavier normal over (D, 3H), orthogonal rows, zero biases. Standard deviation within 5 % of 12 288 samples."""
    width = 64
    params = Gru(width).init(jax.random.key(0), jnp.zeros((1, 2, width)))["params"]
    assert np.std(params["input_kernel"]) == pytest.approx(np.sqrt(2 / (width + 3 * width)), rel=0.05)
    recurrent = np.asarray(params["recurrent_kernel"])
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(width), atol=1e-5)
    assert not np.any(params["input_bias"])
    assert not np.any(params["recurrent_bias"])
