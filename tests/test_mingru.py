"""Minimal GRUs: both forms of the recurrence, the layer and the masker. Oracles: the sequential form, a NumPy loop."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_cases import outcome_of_system
from tiny import GRU, assert_close, enable_float64, magnitudes

from madsep_jax import ComputeConfig, MinGruMaskerConfig, ModelConfig, build_model
from madsep_jax.models.mingru_masker import MinGru
from madsep_jax.models.variables import parameter_counts
from madsep_jax.ops.mingru import mingru_scan, parallel_mingru_scan

TOLERANCE = 1e-10
close = functools.partial(assert_close, tolerance=TOLERANCE)
RUN = dataclasses.replace(GRU, masker=MinGruMaskerConfig(reduced_bins=9))


def gates_of(steps, batch, hidden, scale=2.0):
    """Projections of both signs."""
    return jnp.asarray(scale * np.random.default_rng(steps).normal(size=(steps, batch, 2 * hidden)))


def loop(gates_TBG, reverse):
    """The paper's equations, step by step."""
    gates_TBG = np.asarray(gates_TBG, np.float64)
    z_TBH, c_TBH = np.split(gates_TBG, 2, axis=-1)
    h_TBH = np.zeros_like(z_TBH)
    h_BH = np.zeros_like(z_TBH[0])
    for t in range(len(z_TBH))[:: -1 if reverse else 1]:
        z_BH = 1 / (1 + np.exp(-z_TBH[t]))
        new_BH = np.where(c_TBH[t] >= 0, c_TBH[t] + 0.5, 1 / (1 + np.exp(-c_TBH[t])))
        h_BH = (1 - z_BH) * h_BH + z_BH * new_BH
        h_TBH[t] = h_BH
    return h_TBH


def value_and_gradient(scan, gates_TBG, reverse):
    """States, and the gradient of a sum with a weight of its own for each."""
    weights = np.random.default_rng(9).normal(size=(*gates_TBG.shape[:2], gates_TBG.shape[2] // 2))

    def total(gates_TBG):
        h_TBH = scan(gates_TBG, reverse)
        return jnp.sum(weights * h_TBH), h_TBH

    (_, h_TBH), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(gates_TBG)
    return h_TBH, gradient


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(1, 130), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_both_forms_of_any_shape(steps, batch, hidden, reverse):
    """The parallel form is the sequential one, in value and gradient, and both are the loop; 1e-10 in float64."""
    with enable_float64():
        gates_TBG = gates_of(steps, batch, hidden)
        found, expected = (value_and_gradient(scan, gates_TBG, reverse) for scan in (parallel_mingru_scan, mingru_scan))
        jax.tree.map(close, found, expected)
        close(expected[0], loop(gates_TBG, reverse))


@pytest.mark.parametrize("shape", [(1, 1, 1, False), (23, 2, 3, True), (64, 1, 2, False)])
def test_both_forms_at_the_edges(shape):
    """One step alone, a number of them that rounds do not divide, and one that they do."""
    test_both_forms_of_any_shape.hypothesis.inner_test(*shape)


def test_the_gradient_by_differences(float64):
    """Oracle: differences of the loop's weighted sum, of second order; 1e-8."""
    gates_TBG = gates_of(9, 1, 2)
    weights = np.random.default_rng(9).normal(size=(9, 1, 2))
    _, gradient = value_and_gradient(parallel_mingru_scan, gates_TBG, True)
    expected = np.empty(gates_TBG.shape)
    for place in np.ndindex(*gates_TBG.shape):
        ends = [float(np.sum(weights * loop(gates_TBG.at[place].add(by), True))) for by in (1e-5, -1e-5)]
        expected[place] = (ends[0] - ends[1]) / 2e-5
    assert_close(gradient, expected, 1e-8)


@pytest.mark.parametrize("scan", [mingru_scan, parallel_mingru_scan])
@pytest.mark.parametrize("gate", [-70.0, 0.0, 200.0])
def test_long_sequences_neither_overflow_nor_lose_digits(scan, gate):
    """Gates that keep all, half, or nothing, over the most frames that are timed: float32 against the loop, 1e-5."""
    gates_TBG = gates_of(3840, 1, 2).astype(np.float32).at[..., :2].add(gate)
    h_TBH, gradient = value_and_gradient(scan, gates_TBG, False)
    assert_close(h_TBH, loop(gates_TBG, False), 1e-5)
    assert np.isfinite(gradient).all()


def test_of_bfloat16_the_state_is_float32():
    """Oracle: the loop on the same rounded projections; what is left is the rounding of the result, 2^-8."""
    gates_TBG = gates_of(200, 2, 8).astype(jnp.bfloat16)
    for scan in (mingru_scan, parallel_mingru_scan):
        h_TBH, gradient = value_and_gradient(scan, gates_TBG, False)
        assert h_TBH.dtype == gradient.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(h_TBH, np.float64), loop(gates_TBG, False), rtol=2**-8)


def test_mapped_over_seeds(float64):
    seeds = jnp.stack([gates_of(12, 2, 3, scale) for scale in (1.0, 2.0)])
    mapped = jax.vmap(lambda gates: value_and_gradient(parallel_mingru_scan, gates, True))(seeds)
    alone = [value_and_gradient(mingru_scan, gates, True) for gates in seeds]
    jax.tree.map(close, mapped, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone))


def test_a_layer_by_hand(float64):
    """Its parameters by their names and shapes; its states are the loop's on the projections."""
    x_BTD = jnp.asarray(magnitudes(2, 7, 4), jnp.float64)
    for reverse in (False, True):
        layer = MinGru(3, reverse)
        params = layer.init(jax.random.key(0), x_BTD)["params"]
        assert {name: leaf.shape for name, leaf in params.items()} == {"input_kernel": (4, 6), "input_bias": (6,)}
        assert not params["input_bias"].any()
        params["input_bias"] = jnp.linspace(-1.0, 1.0, 6)
        gates_TBG = np.swapaxes(x_BTD @ params["input_kernel"] + params["input_bias"], 0, 1)
        close(layer.apply({"params": params}, x_BTD), np.swapaxes(loop(gates_TBG, reverse), 0, 1))


def test_kernels_start_as_xavier_normal():
    """Over (D, 2H). Standard deviation within 5 % of 8,192 samples."""
    params = MinGru(64).init(jax.random.key(0), jnp.zeros((1, 2, 64)))["params"]
    assert np.std(params["input_kernel"]) == pytest.approx(np.sqrt(2 / (64 + 128)), rel=0.05)


def test_parameters_at_full_size():
    """By hand: R = 744, (D + 1) · 2H of each layer, the mask layer, and MaD's denoiser."""
    masker = 2 * (744 + 1) * 2 * 744 + (1488 + 1) * 2 * 1488 + (1488 + 1) * 2049
    assert parameter_counts(ModelConfig(masker=MinGruMaskerConfig())) == {"masker": masker, "denoiser": 4_199_425}


def test_the_encoder_adds_its_input_and_drops_the_context():
    """Eq. 2 to 4, as MaD's: its decoder is given the states of both directions, with the input, the middle frames."""
    masker = MinGruMaskerConfig(reduced_bins=2)
    model = build_model(ModelConfig(bins=3, context_frames=1, masker=masker))
    mag_BSF = jnp.asarray(magnitudes(1, 5, 3))
    variables = model.init(jax.random.key(0), mag_BSF)
    given = []

    def spy(apply, args, kwargs, context):
        if isinstance(context.module, MinGru):
            given.append((context.module.name, args[0], apply(*args, **kwargs)))
            return given[-1][2]
        return apply(*args, **kwargs)

    with nn.intercept_methods(spy):
        model.apply(variables, mag_BSF)
    (_, reduced_BSR, ahead_BSR), (_, also_BSR, back_BSR), (name, encoded_BTH, _) = given
    np.testing.assert_array_equal(reduced_BSR, mag_BSF[..., :2])
    np.testing.assert_array_equal(also_BSR, mag_BSF[..., :2])
    assert name == "decoder"
    expected_BSH = np.concatenate([ahead_BSR + reduced_BSR, back_BSR + reduced_BSR[:, ::-1]], axis=-1)
    np.testing.assert_array_equal(encoded_BTH, expected_BSH[:, 1:-1])


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_the_system_in_both_forms(remat, float64):
    """Outputs in evaluation and training, and the gradient of the whole loss, at parameters that are all of about 1."""
    forms = ComputeConfig(operations="fast", target="gpu", remat=remat), ComputeConfig(operations="plain")
    found, expected = (outcome_of_system(RUN, form) for form in forms)
    jax.tree.map(close, found, expected)


@pytest.mark.parametrize(("target", "scans"), [("cpu", 3), ("gpu", 0), ("tpu", 0)])
def test_what_is_sequential_where(target, scans):
    """Oracle: the loops in the program that `auto` traces for a device; none on an accelerator, at any length."""
    model = build_model(dataclasses.replace(RUN, compute=ComputeConfig(target=target)).model)
    mag_BSF = jnp.zeros((1, 60, RUN.signal.bins))
    shapes = jax.eval_shape(model.init, jax.random.key(0), mag_BSF)
    assert str(jax.make_jaxpr(model.apply)(shapes, mag_BSF)).count("scan[") == scans


@pytest.mark.parametrize("steps", [60, 3840])
def test_the_rounds_of_the_parallel_form(steps):
    """Oracle: the longest chain of products from any input to any output: z ⊙ c, and 2 ⌊log2 T⌋ rounds."""
    program = jax.make_jaxpr(parallel_mingru_scan)(jnp.zeros((steps, 1, 2)))
    assert longest(program.jaxpr) == 1 + 2 * int(np.log2(steps))


def longest(program):
    """Products one after the other in a program, those of what it calls included."""
    ends = dict.fromkeys([*program.invars, *program.constvars], 0)
    for equation in program.eqns:
        before = max((ends.get(name, 0) for name in equation.invars if not hasattr(name, "val")), default=0)
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        own = sum(longest(one) for one in inner if hasattr(one, "eqns"))
        for name in equation.outvars:
            ends[name] = before + own + (equation.primitive.name == "mul")
    return max(ends[name] for name in program.outvars)
