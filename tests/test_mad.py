"""Whole separators. Oracles: hand-made cases (exact) and properties that the papers state."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DWS, GRU, assert_close, encoder_states, magnitudes

from madsep_jax import ComputeConfig, DwsMaskerConfig, GruMaskerConfig, ModelConfig, build_model

BOTH = pytest.mark.parametrize("run", [GRU, DWS], ids=["gru", "dws"])
CONTEXT = GRU.sequences.context


@pytest.fixture(scope="module")
def variables():
    mag_BSF = jnp.zeros((1, GRU.sequences.frames, GRU.signal.bins))
    return {run.masker.kind: jax.jit(build_model(run.model).init)(jax.random.key(0), mag_BSF) for run in (GRU, DWS)}


@pytest.fixture
def mag_BSF():
    return magnitudes(2, GRU.sequences.frames, GRU.signal.bins)


def evaluate(run, variables, mag_BSF):
    return jax.jit(build_model(run.model).apply)(variables[run.masker.kind], mag_BSF)


def zero_variables(model, mag_BSF):
    shapes = jax.eval_shape(model.init, jax.random.key(0), mag_BSF)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parametrize(
    ("flip", "backward"),
    [("time", [[4, 5], [2, 3], [0, 1]]), ("time_and_frequency", [[5, 4], [3, 2], [1, 0]])],
)
def test_residual_flip(flip, backward):
    """Eq. 3. A GRU of zeros stays at zero, so that the encoder's states are the residual alone."""
    masker = GruMaskerConfig(reduced_bins=2, residual_flip=flip)
    model = build_model(ModelConfig(bins=3, context_frames=0, masker=masker))
    mag_BSF = jnp.asarray([[[0.0, 1.0, 9.0], [2.0, 3.0, 9.0], [4.0, 5.0, 9.0]]])
    zeros = zero_variables(model, mag_BSF)
    states_BTH = encoder_states(model, zeros, mag_BSF)
    np.testing.assert_array_equal(states_BTH[0, :, :2], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(states_BTH[0, :, 2:], backward)


def test_encoder_drops_the_context_after_the_flip():
    """With 1 context frame of 4, frames 1 and 2 stay; flipped, they are frames 2 and 1."""
    model = build_model(ModelConfig(bins=2, context_frames=1, masker=GruMaskerConfig(reduced_bins=1)))
    mag_BSF = jnp.asarray([[[0.0, 9.0], [1.0, 9.0], [2.0, 9.0], [3.0, 9.0]]])
    zeros = zero_variables(model, mag_BSF)
    states_BTH = encoder_states(model, zeros, mag_BSF)
    np.testing.assert_array_equal(states_BTH[0], [[1, 2], [2, 1]])


@BOTH
def test_outputs_are_the_middle_frames_times_nonnegative_masks(run, variables, mag_BSF):
    out = evaluate(run, variables, mag_BSF)
    for array_BTF in out[:2]:
        assert array_BTF.shape == (2, run.sequences.target_frames, run.signal.bins)
        assert np.min(array_BTF) == 0  # a ReLU closes somewhere,
        assert np.max(array_BTF) > 0  # and opens somewhere
    silent_BSF = mag_BSF.copy()
    silent_BSF[:, CONTEXT, :40] = 0
    for array_BTF in evaluate(run, variables, silent_BSF)[:2]:
        assert not array_BTF[:, 0, :40].any()
        assert array_BTF[:, 0, 40:].any()


@BOTH
def test_silence_gives_silence(run, variables, mag_BSF):
    for array_BTF in evaluate(run, variables, np.zeros_like(mag_BSF))[:2]:
        assert not array_BTF.any()


@BOTH
def test_jit_changes_nothing(run, variables, mag_BSF):
    plain = build_model(run.model).apply(variables[run.masker.kind], mag_BSF)
    for found, expected in zip(evaluate(run, variables, mag_BSF)[:2], plain[:2], strict=True):
        assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("frames", ["all", "middle"])
def test_dws_reads_the_context_only_for_all_frames(frames, variables, mag_BSF):
    run = dataclasses.replace(DWS, masker=dataclasses.replace(DWS.masker, input_frames=frames))
    other_BSF = mag_BSF.copy()
    other_BSF[:, CONTEXT - 1] *= 3
    before, after = (evaluate(run, variables, mag).masker_BTF for mag in (mag_BSF, other_BSF))
    assert (np.asarray(before) == np.asarray(after)).all() == (frames == "middle")


def test_gru_reads_the_context(variables, mag_BSF):
    other_BSF = mag_BSF.copy()
    other_BSF[:, -1] *= 3
    before, after = (evaluate(GRU, variables, mag).masker_BTF for mag in (mag_BSF, other_BSF))
    assert (np.asarray(before) != np.asarray(after)).any()


def test_evaluation_needs_no_dropout_key_and_training_does(variables, mag_BSF):
    model = build_model(DWS.model)

    def train(key):
        rngs = {"dropout": jax.random.key(key)}
        return model.apply(variables["dws"], mag_BSF, train=True, mutable=["batch_stats"], rngs=rngs)[0].masker_BTF

    first, again, other = jax.jit(lambda: (train(0), train(0), train(1)))()
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()
    np.testing.assert_array_equal(*(evaluate(DWS, variables, mag_BSF).masker_BTF for _ in range(2)))


@pytest.mark.parametrize("operations", ["plain", "fast"])
def test_residual_adds_each_blocks_input(operations, variables, mag_BSF):
    """With a last BatchNorm of scale and bias 0 a block returns 0: the residual variant passes its input on."""
    config = dataclasses.replace(DWS.masker, residual=True)
    silenced = jax.tree.map(lambda leaf: leaf, variables["dws"])
    encoder = silenced["params"]["masker"]["encoder"]
    for name in ("outer_norm_scale", "outer_norm_bias"):
        encoder[name] = jnp.zeros_like(encoder[name])
    without = dataclasses.replace(DWS.masker, layers=0)
    shallow = jax.tree.map(lambda leaf: leaf, silenced)
    for collection in shallow.values():
        del collection["masker"]["encoder"]
    compute = ComputeConfig(operations=operations)
    run, shallow_run = (dataclasses.replace(DWS, masker=masker, compute=compute) for masker in (config, without))
    assert_close(
        evaluate(run, {"dws": silenced}, mag_BSF).voice_BTF,
        evaluate(shallow_run, {"dws": shallow}, mag_BSF).voice_BTF,
        1e-6,
    )


def test_mask_layer_reads_channels_then_frequencies():
    """Feature c · W + w is channel c of 8 at frequency w of W; 135 bins leave 2 frequencies."""
    masker = DwsMaskerConfig(layers=0, channels=4, kernel=1)
    model = build_model(ModelConfig(bins=135, context_frames=0, masker=masker))
    mag_BSF = magnitudes(1, 2, 135)
    variables = jax.jit(model.init)(jax.random.key(0), mag_BSF)
    layer = variables["params"]["masker"]["mask_layer"]
    out, captured = jax.jit(functools.partial(model.apply, capture_intermediates=True))(variables, mag_BSF)
    (reduced_BTWC,) = captured["intermediates"]["masker"]["channel_reduce"]["__call__"]
    assert reduced_BTWC.shape == (1, 2, 2, 8)
    assert np.ptp(reduced_BTWC, axis=(2, 3)).min() > 0.01
    mask_TF = np.tile(layer["bias"], (2, 1))
    for (c, w), _ in np.ndenumerate(np.empty((8, 2))):
        mask_TF += np.outer(reduced_BTWC[0, :, w, c], layer["kernel"][2 * c + w])
    assert_close(out.masker_BTF[0], np.maximum(mask_TF, 0) * mag_BSF[0], 1e-5)


def test_linear_layers_start_as_xavier_normal():
    """Standard deviation sqrt(2 / (in + out)), within 5 % of about 2 000 and more samples; biases 0."""
    model = build_model(ModelConfig(bins=65, context_frames=0, masker=GruMaskerConfig(reduced_bins=16)))
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1, 65)))["params"]
    for layer, shape in [
        (params["masker"]["mask_layer"], (32, 65)),
        (params["denoiser"]["encoder"], (65, 32)),
        (params["denoiser"]["decoder"], (32, 65)),
    ]:
        assert layer["kernel"].shape == shape
        assert np.std(layer["kernel"]) == pytest.approx(np.sqrt(2 / sum(shape)), rel=0.05)
        assert not layer["bias"].any()
