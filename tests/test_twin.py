"""MaD TwinNet. Oracle: the published implementation's numbers, under `reference/`, to 1e-6 in float64.

The file's trajectory is five Adam steps on one batch whose target is final: learning rate 1e-4, gradient clipped to
0.5, both weight penalties included.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import GRU, SEQUENCES, SIGNAL, assert_close, encoder_states, magnitudes, reference, under

from madsep_jax import (
    GruMaskerConfig,
    LossConfig,
    ModelConfig,
    RunConfig,
    SequenceConfig,
    SignalConfig,
    build_model,
    separation,
)
from madsep_jax.interop import from_torch, to_torch
from madsep_jax.models.variables import parameter_counts, without_training_parts
from madsep_jax.train.batch import Batch, TrainState
from madsep_jax.train.losses import loss_parts
from madsep_jax.train.optimizer import make_optimizer
from madsep_jax.train.step import init_state, make_train_step

TOLERANCE = 1e-6
LOSSES = {
    "masker": "masker",
    "denoiser": "denoiser",
    "twin_masker": "twin_masker",
    "twin_l2": "twin_l2",
    "masker_diagonal_l1": "reg_masker_diag_l1",
    "denoiser_l2": "reg_denoiser_l2",
}
TWIN = dataclasses.replace(GRU, masker=GruMaskerConfig(reduced_bins=9, twin=True, recurrent_iterations=2))


@pytest.fixture(scope="module")
def file():
    return reference("mad_twinnet")


@pytest.fixture
def case(file, float64):
    model, variables = from_torch(under(file, "param/"), context_frames=int(file["config/context"]))
    config = RunConfig(
        signal=SignalConfig(window_length=32, hop_length=8, fft_length=64),
        sequences=SequenceConfig(frames=file["input"].shape[1], context=model.context_frames),
        masker=model.masker,
    )
    assert config.model == model
    return config, jax.tree.map(jnp.asarray, variables)


def test_architecture_and_the_released_choices_are_read_off_the_names(case):
    config, variables = case
    both = "time_and_frequency"
    assert config.masker == GruMaskerConfig(reduced_bins=12, twin=True, residual_flip=both, twin_flip=both)
    assert set(variables["params"]) == {"masker", "denoiser", "twin", "affine"}


def test_training_output(case, file):
    config, variables = case
    model, mag_BSF = build_model(config.model), jnp.asarray(file["input"])
    out = jax.jit(lambda v, mag: model.apply(v, mag, train=True))(variables, mag_BSF)
    assert_close(encoder_states(model, variables, mag_BSF), file["mad/h_enc"], TOLERANCE)
    assert_close(out.masker_BTF, file["twin/v_j_filt_prime"], TOLERANCE)
    assert_close(out.voice_BTF, file["twin/v_j_filt"], TOLERANCE)
    assert_close(out.twin.masker_BTF, file["twin/v_j_filt_prime_twin"], TOLERANCE)
    assert_close(out.twin.state_BTH, file["twin/h_dec_twin"], TOLERANCE)
    assert_close(out.twin.mapped_BTH, file["twin/affine_output"], TOLERANCE)


def test_evaluation_is_that_of_the_mad_part_and_needs_no_more(case, file):
    config, variables = case
    parts = without_training_parts(config.masker, variables)
    assert set(parts["params"]) == {"masker", "denoiser"}
    plain = dataclasses.replace(config.model, masker=dataclasses.replace(config.masker, twin=False))
    for model, given in [(config.model, variables), (config.model, parts), (plain, parts)]:
        out = jax.jit(build_model(model).apply)(given, jnp.asarray(file["input"]))
        assert out.twin is None
        assert_close(out.masker_BTF, file["mad/v_j_filt_prime"], TOLERANCE)
        assert_close(out.voice_BTF, file["mad/v_j_filt"], TOLERANCE)
        states = build_model(model).apply(given, jnp.asarray(file["input"]), method=decoder_states)
        assert_close(states, file["mad/h_dec"], TOLERANCE)


def decoder_states(model, mag_BSF):
    return model.masker.mask_and_states(mag_BSF).decoded_BTH


def test_losses_and_gradient(case, file):
    config, variables = case
    model = build_model(config.model)

    @jax.jit
    def losses(params):
        out = model.apply({"params": params}, jnp.asarray(file["input"]), train=True)
        parts = loss_parts(out, jnp.asarray(file["target"]), model.output_kernels(params), config.loss)
        return sum(parts.values()), parts

    gradient, parts = jax.jit(jax.grad(losses, has_aux=True))(variables["params"])
    assert {f"loss/{LOSSES[name]}" for name in parts} == {name for name in file if name.startswith("loss/")}
    for name, value in parts.items():
        assert_close(value, file[f"loss/{LOSSES[name]}"], TOLERANCE)
    found, expected = to_torch(config.model, {"params": gradient}), under(file, "grad/")
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert_close(found[name], array, TOLERANCE)


def test_five_training_steps(case, file):
    config, variables = case
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats={},
        opt_state=make_optimizer(config.training).init(variables["params"]),
        dropout_key=jax.random.key(0),
    )
    step = jax.jit(make_train_step(config))
    for number in range(5):
        state, metrics = step(state, Batch(file["input"], file["target"]))
        assert_close(metrics["loss"], file["trajectory/loss"][number], TOLERANCE)
        assert_close(metrics["gradient_norm"], file["trajectory/grad_norm"][number], TOLERANCE)
        assert_close(metrics["loss"], sum(metrics[name] for name in LOSSES), 1e-12)
    found, expected = to_torch(config.model, state.variables), under(file, "after5/")
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert_close(found[name], array, TOLERANCE)


def test_the_twin_is_not_pulled(case, file):
    """Only the twin's own divergence moves the twin; only the distance moves the affine map."""
    config, variables = case
    model = build_model(config.model)

    def gradient(name):
        def part(params):
            out = model.apply({"params": params}, jnp.asarray(file["input"]), train=True)
            return loss_parts(out, jnp.asarray(file["target"]), model.output_kernels(params), config.loss)[name]

        return jax.jit(jax.grad(part))(variables["params"])

    def moves(tree):
        return any(np.any(leaf) for leaf in jax.tree.leaves(tree))

    distance, divergence = gradient("twin_l2"), gradient("twin_masker")
    assert {part for part, tree in distance.items() if moves(tree)} == {"masker", "affine"}
    assert {part for part, tree in divergence.items() if moves(tree)} == {"masker", "twin"}
    assert not moves(distance["masker"]["mask_layer"])
    assert not moves(divergence["masker"]["decoder"])


def test_parameter_counts():
    """Oracle: the published TwinNet's 45 755 923 in training, of which MaD's 27 195 538 remain."""
    mad = {"masker": 22_996_113, "denoiser": 4_199_425}
    twinnet = ModelConfig(masker=GruMaskerConfig(twin=True))
    assert parameter_counts(twinnet) == mad
    training = parameter_counts(twinnet, train=True)
    assert set(training) == {"masker", "denoiser", "twin", "affine"}
    assert sum(training.values()) == 45_755_923
    assert parameter_counts(ModelConfig(), train=True) == mad


@pytest.mark.parametrize("flip", ["time", "time_and_frequency"])
def test_the_twin_reads_from_the_end(flip):
    """Its states up to a frame that changes change with it, those after do not."""
    config = ModelConfig(bins=5, context_frames=0, masker=GruMaskerConfig(reduced_bins=3, twin=True, twin_flip=flip))
    model, changed_step = build_model(config), 3
    encoded_BTH = jnp.asarray(magnitudes(1, 6, 6))
    variables = {"params": jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 6, 5)))["params"]["twin"]}

    def states(encoded_BTH):
        return np.asarray(model.twin.clone(parent=None, name=None).apply(variables, encoded_BTH, bins=5)[1])

    before, after = states(encoded_BTH), states(encoded_BTH.at[:, changed_step].add(1))
    differs = [step for step in range(6) if (before[:, step] != after[:, step]).any()]
    assert differs == list(range(changed_step + 1))


def test_a_silent_batch_has_a_finite_gradient():
    """States of silence are 0 at first, and so is their distance, whose root has no derivative there."""
    state = init_state(TWIN)
    frames, bins = SEQUENCES.target_frames, SIGNAL.bins
    silence = Batch(np.zeros((2, SEQUENCES.frames, bins), np.float32), np.zeros((2, frames, bins), np.float32))
    state, metrics = jax.jit(make_train_step(TWIN))(state, silence)
    assert metrics["twin_l2"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, metrics["gradient_norm"])))


def test_weights_of_zero_leave_the_terms_out(file, case):
    config, variables = case
    model = build_model(config.model)
    out = model.apply(variables, jnp.asarray(file["input"]), train=True)
    weights = LossConfig(twin_kl=0.0, twin_l2=0.0, masker_diagonal_l1=0.0, denoiser_l2=0.0)
    kernels = model.output_kernels(variables["params"])
    assert set(loss_parts(out, file["target"], kernels, weights)) == {"masker", "denoiser"}


def test_separation_takes_no_twin(monkeypatch):
    """The compiled separation is given no array of the twin, and works where there is none."""
    given, separate_block = [], separation._jitted_block(jax.default_backend())

    def watch(config, variables, *rest):
        given.append(set(variables["params"]))
        return separate_block(config, variables, *rest)

    monkeypatch.setattr(separation, "_jitted_block", lambda backend: watch)
    variables = init_state(TWIN).variables
    song_NC = magnitudes(500, 1) - 0.5
    whole = separation.separate(TWIN, variables, song_NC, SIGNAL.sample_rate)
    part = separation.separate(TWIN, without_training_parts(TWIN.masker, variables), song_NC, SIGNAL.sample_rate)
    np.testing.assert_array_equal(whole.voice_NC, part.voice_NC)
    assert given
    assert all(parts == {"masker", "denoiser"} for parts in given)


def test_residual_flip_numbers_units_anew():
    """A separator whose residual is flipped in frequency too is one that is not, its backward units in reverse."""
    both = GruMaskerConfig(reduced_bins=4, residual_flip="time_and_frequency")
    time = GruMaskerConfig(reduced_bins=4)
    models = [build_model(ModelConfig(bins=6, context_frames=1, masker=masker)) for masker in (both, time)]
    mag_BSF = jnp.asarray(magnitudes(2, 5, 6))
    variables = jax.tree.map(np.asarray, jax.jit(models[0].init)(jax.random.key(0), mag_BSF))
    other = jax.tree.map(np.copy, variables)
    reversed_gates = np.arange(12).reshape(3, 4)[:, ::-1].ravel()
    backward = other["params"]["masker"]["encoder_backward"]
    for name, array in backward.items():
        backward[name] = array[..., reversed_gates]
    backward["recurrent_kernel"] = backward["recurrent_kernel"][::-1]
    decoder = other["params"]["masker"]["decoder"]
    decoder["input_kernel"] = np.concatenate([decoder["input_kernel"][:4], decoder["input_kernel"][4:][::-1]])
    outputs = [
        jax.jit(model.apply)(given, mag_BSF).voice_BTF for model, given in zip(models, (variables, other), strict=True)
    ]
    assert_close(outputs[1], outputs[0], 1e-5)
