import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from madsep_jax.couplings.fit import (
    CouplingsConfig,
    Layer,
    compositional_mapping,
    fit_couplings,
    fit_student,
    initial_matrices,
    map_frames,
    scaled_layer,
)
from madsep_jax.errors import InputError

MODELS = ("dae", "dnn", "skip_filtering")
LAYERS = ("ih_matrix", "hh_matrix", "hh_b_matrix", "ho_matrix")
#: Float64 arrays of the published implementation; found: 1e-15.
CLOSE = {"rtol": 0, "atol": 1e-12}


class Reference:
    """One model of the published implementation's arrays."""

    def __init__(self, model):
        self.arrays = tiny.under(tiny.reference("nca"), f"{model}/")
        names = [f"model/{name}" for name in LAYERS if f"model/{name}.weight" in self.arrays]
        self.layers = [Layer(self[f"{name}.weight"], self[f"{name}.bias"]) for name in names]
        self.couplings = [self[f"couplings_init/{number}"] for number in range(len(names))]

    def __getitem__(self, name):
        return self.arrays[name]


@pytest.fixture(params=MODELS)
def reference(request, float64):
    return Reference(request.param)


def random_layers(bins, count, seed=0):
    rng = np.random.default_rng(seed)
    return [Layer(rng.standard_normal((bins, bins)), 0.1 * rng.standard_normal(bins)) for _ in range(count)]


# The published implementation's numbers


def test_mapping_and_its_error_are_those_of_the_reference(reference):
    mapping_FF = compositional_mapping(reference.layers, reference.couplings)
    mapped_NF = map_frames(mapping_FF, reference["input"])
    np.testing.assert_allclose(mapping_FF, reference["mapping"], **CLOSE)
    np.testing.assert_allclose(mapped_NF, reference["mapped"], **CLOSE)
    np.testing.assert_allclose(np.abs(mapped_NF - reference["output"]).sum(), reference["l1"], **CLOSE)


def test_gradients_are_those_of_the_reference(reference):
    def l1(couplings):
        mapping_FF = compositional_mapping(reference.layers, couplings)
        return jnp.sum(jnp.abs(map_frames(mapping_FF, reference["input"]) - reference["output"]))

    for number, gradient_FF in enumerate(jax.grad(l1)(reference.couplings)):
        np.testing.assert_allclose(gradient_FF, reference[f"couplings_grad/{number}"], **CLOSE)


def test_fifty_passes_of_the_compositional_fit_are_those_of_the_reference(reference):
    # its mapping is that of its 50th forward pass, after 49 updates
    config = CouplingsConfig(steps=49)
    fit = fit_couplings(
        reference.layers, reference["input"], reference["output"], config, couplings=reference.couplings
    )
    np.testing.assert_allclose(fit.mapping_FF, reference["mapping_after50"], **CLOSE)
    np.testing.assert_allclose(fit.start_FF, reference["mapping"], **CLOSE)
    np.testing.assert_allclose(fit.history_K[0], reference["l1"], **CLOSE)


def test_fifty_steps_of_the_student_are_those_of_the_reference(reference):
    config = CouplingsConfig(form="student", steps=50)
    fit = fit_student(reference["input"], reference["output"], config, mapping_FF=reference["student_init"])
    np.testing.assert_allclose(fit.mapping_FF, reference["student_after50"], **CLOSE)


def test_initial_values_are_spread_like_those_of_the_reference():
    published = [array_FF for name, array_FF in tiny.reference("nca").items() if "_init" in name]
    ours = initial_matrices(CouplingsConfig(), 11, 18)
    # 11 matrices of 324 entries: a standard error of 1.2 % of the deviation
    for matrices in (published, ours):
        assert np.std(np.stack(matrices)) == pytest.approx(1 / np.sqrt(18), rel=0.05)
        assert np.mean(np.stack(matrices)) == pytest.approx(0, abs=0.02)


# By hand, and by construction


def test_mapping_of_two_layers_by_hand():
    first = Layer(np.array([[1.0, -2.0], [3.0, 4.0]]), np.array([1.0, 1.0]))
    second = Layer(np.array([[2.0, 0.0], [0.0, -1.0]]), np.array([0.0, 0.5]))
    coupling_FF = np.array([[1.0, 1.0], [0.0, 1.0]])
    # (W + b) Pᵀ = [[2, -1], [4, 5]] Pᵀ = [[1, -1], [9, 5]], its ReLU [[1, 0], [9, 5]], times W
    np.testing.assert_allclose(scaled_layer(first, coupling_FF), [[1, 0], [27, 20]])
    # (W + b) Pᵀ = [[2, 0.5], [0, -0.5]] of the identity, its ReLU [[2, 0.5], [0, 0]], times W = [[4, 0], [0, 0]]
    mapping_FF = compositional_mapping([first, second], [coupling_FF, np.eye(2)])
    np.testing.assert_allclose(mapping_FF, [[4, 0], [0, 0]])
    np.testing.assert_allclose(map_frames(mapping_FF, np.array([[2.0, 7.0]])), [[8, 0]])


def test_the_later_layer_stands_on_the_left():
    first, second = random_layers(3, 2)
    identity = [np.eye(3), np.eye(3)]
    mapping_FF = compositional_mapping([first, second], identity)
    expected_FF = scaled_layer(second, np.eye(3)) @ scaled_layer(first, np.eye(3))
    np.testing.assert_allclose(mapping_FF, expected_FF, rtol=1e-6)


@pytest.mark.parametrize("initial", ["normal", "identity", "zeros"])
def test_student_recovers_a_linear_map(initial):
    rng = np.random.default_rng(1)
    true_FF = rng.uniform(-0.5, 0.5, (6, 6)).astype(np.float32)
    input_NF = np.abs(rng.standard_normal((60, 6))).astype(np.float32)
    config = CouplingsConfig(form="student", initial=initial, steps=3000)
    fit = fit_student(input_NF, input_NF @ true_FF.T, config)
    np.testing.assert_allclose(fit.mapping_FF, true_FF, atol=5e-3)
    assert fit.l1 < 1e-2 * fit.history_K[0]


def test_compositional_fit_finds_back_the_couplings_that_it_starts_near():
    layers = random_layers(5, 2)
    input_NF = np.abs(np.random.default_rng(2).standard_normal((40, 5)))
    true, noise = (initial_matrices(CouplingsConfig(seed=seed), 2, 5) for seed in (5, 6))
    true_FF = compositional_mapping(layers, true)
    start = [true_FF + 0.05 * noise_FF for true_FF, noise_FF in zip(true, noise, strict=True)]
    config = CouplingsConfig(steps=800)
    fit = fit_couplings(layers, input_NF, map_frames(true_FF, input_NF), config, couplings=start)
    assert fit.l1 < 0.1 * fit.history_K[0]
    np.testing.assert_allclose(fit.mapping_FF, true_FF, atol=0.02)


@pytest.mark.parametrize("steps", [1, 10, 11])
def test_history_and_reports_count_every_step(steps):
    input_NF = np.ones((3, 2), np.float32)
    reported = []
    config = CouplingsConfig(form="student", initial="zeros", steps=steps)
    fit = fit_student(input_NF, input_NF, config, on_steps=lambda *values: reported.append(values))
    assert fit.history_K.shape == (steps + 1,)
    assert fit.history_K[0] == 6  # zeros against six ones
    assert fit.l1 == pytest.approx(6 - 12 * 1e-3 * steps, rel=1e-4)  # each of four weights moves by 1e-3 a step
    assert [done for done, _ in reported] == sorted({min(10, steps), steps})
    assert reported[-1][1] == fit.history_K[-2]


def test_a_fit_is_decided_by_its_seed():
    layers, input_NF = random_layers(4, 2), np.ones((3, 4), np.float32)

    def mapping(seed):
        return np.asarray(fit_couplings(layers, input_NF, input_NF, CouplingsConfig(steps=2, seed=seed)).mapping_FF)

    np.testing.assert_array_equal(mapping(0), mapping(0))
    assert np.abs(mapping(0) - mapping(1)).max() > 0


# Wrong input


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": "other"}, "CouplingsConfig.form: found 'other'"),
        ({"initial": "zeros"}, "initial: found 'zeros', expected one of normal, identity in the compositional form"),
        ({"form": "student", "initial": "ones"}, "expected one of normal, identity, zeros in the student form"),
        ({"steps": 0}, "CouplingsConfig.steps: found 0, expected a positive number"),
        ({"learning_rate": 0.0}, "CouplingsConfig.learning_rate: found 0.0"),
        ({"learning_rate": float("nan")}, "CouplingsConfig.learning_rate: found nan"),
        ({"learning_rate": float("inf")}, "CouplingsConfig.learning_rate: found inf"),
        ({"seed": -1}, "CouplingsConfig.seed: found -1"),
    ],
)
def test_config_refuses(fields, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        CouplingsConfig(**fields)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((3,), (3,)), r"input_NF: found shape \(3,\), expected frames of spectra"),
        (((0, 3), (0, 3)), r"input_NF: found shape \(0, 3\), expected frames of spectra"),
        (((2, 3), (2, 4)), r"output_NF: found shape \(2, 4\), expected \(2, 3\)"),
        (((2, 4), (2, 4)), r"layer 0 weight: found shape \(3, 3\), expected \(4, 4\)"),
    ],
)
def test_fit_refuses_arrays_that_do_not_fit_together(shapes, message):
    input_NF, output_NF = map(np.zeros, shapes)
    with pytest.raises(InputError, match=message):
        fit_couplings(random_layers(3, 2), input_NF, output_NF, CouplingsConfig())


def test_fit_refuses_what_is_missing():
    frames_NF = np.zeros((2, 3))
    with pytest.raises(InputError, match="layers: found none"):
        fit_couplings([], frames_NF, frames_NF, CouplingsConfig())
    with pytest.raises(InputError, match=r"initial matrices: found shapes \[\(3, 3\)\], expected 2 of \(3, 3\)"):
        fit_couplings(random_layers(3, 2), frames_NF, frames_NF, CouplingsConfig(), couplings=[np.eye(3)])
    with pytest.raises(InputError, match="form: found 'student', expected 'compositional'"):
        fit_couplings(random_layers(3, 2), frames_NF, frames_NF, CouplingsConfig(form="student"))
    with pytest.raises(InputError, match="form: found 'compositional', expected 'student'"):
        fit_student(frames_NF, frames_NF, CouplingsConfig())
