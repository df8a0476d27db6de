"""Oracle: the published implementations' numbers, under `reference/`.

Tolerances are shares of each array's largest value: 1e-6 in float64, 1e-4 in float32. Dropout is 0 throughout; the
DWS files' loss has no weight penalties; their trajectories are five Adam steps (1e-4, clip 0.5) on one batch, whose
target is final. The MaD file's trajectory includes the TwinNet, so that here only its MaD part's outputs and losses
are compared.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import assert_close, enable_float64, encoder_states, reference, under

from madsep_jax import LossConfig, RunConfig, SequenceConfig, SignalConfig, build_model
from madsep_jax.interop import from_torch, to_torch
from madsep_jax.interop.names import parameters
from madsep_jax.train.batch import Batch, TrainState
from madsep_jax.train.losses import loss_parts
from madsep_jax.train.optimizer import make_optimizer
from madsep_jax.train.step import make_train_step

PRECISIONS = [(np.float64, 1e-6), (np.float32, 1e-4)]


class Case(NamedTuple):
    file: dict
    config: RunConfig
    variables: dict

    def model(self):
        return build_model(self.config.model)


def case(name, prefix=""):
    file = reference(name)
    context = int(file["config/context"])
    model, variables = from_torch(under(file, f"param/{prefix}"), context_frames=context)
    masker = dataclasses.replace(model.masker, dropout=0.0) if prefix == "" else model.masker
    bins = int(file["config/freq_bins"])
    hop = (bins + 2) // 4
    config = RunConfig(
        signal=SignalConfig(window_length=4 * hop, hop_length=hop, fft_length=2 * (bins - 1)),
        sequences=SequenceConfig(frames=file["input"].shape[1], context=context),
        masker=masker,
        loss=LossConfig() if prefix else LossConfig(masker_diagonal_l1=0.0, denoiser_l2=0.0),
    )
    return Case(file, config, variables)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


@pytest.fixture(scope="module")
def mad():
    return case("mad_twinnet", "mad.")


@pytest.fixture(scope="module", params=["dws", "dws_residual"])
def dws(request):
    return case(request.param)


def test_architecture_is_read_off_the_checkpoints(mad, dws):
    assert mad.config.masker.reduced_bins == int(mad.file["config/reduced_bins"])
    masker = dws.config.masker
    found = (masker.layers, masker.channels, int(masker.residual), dws.config.model.bins)
    assert found == tuple(int(dws.file[f"config/{name}"]) for name in ("layers", "channels", "residual", "freq_bins"))


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_mad_outputs(mad, dtype, tolerance):
    with enable_float64():
        variables, mag_BSF = cast((mad.variables, mad.file["input"]), dtype)
        out = jax.jit(mad.model().apply)(variables, mag_BSF)
        states_BTH = encoder_states(mad.model(), variables, mag_BSF)
    assert out.voice_BTF.dtype == dtype
    assert_close(states_BTH, mad.file["mad/h_enc"], tolerance)
    assert_close(out.masker_BTF, mad.file["mad/v_j_filt_prime"], tolerance)
    assert_close(out.voice_BTF, mad.file["mad/v_j_filt"], tolerance)


def test_mad_losses(mad, float64):
    variables, mag_BSF, target_BTF = cast((mad.variables, mad.file["input"], mad.file["target"]), np.float64)
    kernels = mad.model().output_kernels(variables["params"])
    parts = loss_parts(mad.model().apply(variables, mag_BSF), target_BTF, kernels, mad.config.loss)
    published = {
        "masker": "masker",
        "denoiser": "denoiser",
        "masker_diagonal_l1": "reg_masker_diag_l1",
        "denoiser_l2": "reg_denoiser_l2",
    }
    assert set(parts) == set(published)
    for name, value in parts.items():
        assert_close(value, mad.file[f"loss/{published[name]}"], 1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_dws_evaluation(dws, dtype, tolerance):
    with enable_float64():
        variables, mag_BSF = cast((dws.variables, dws.file["input"]), dtype)
        out = jax.jit(dws.model().apply)(variables, mag_BSF)
    assert out.voice_BTF.dtype == dtype
    assert_close(out.masker_BTF, dws.file["eval/v_j_filt_prime"], tolerance)
    assert_close(out.voice_BTF, dws.file["eval/v_j_filt"], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_dws_training_forward(dws, dtype, tolerance):
    with enable_float64():
        variables, mag_BSF = cast((dws.variables, dws.file["input"]), dtype)
        forward = jax.jit(lambda v, mag: dws.model().apply(v, mag, train=True, mutable=["batch_stats"]))
        out, updates = forward(variables, mag_BSF)
    assert_close(out.masker_BTF, dws.file["train/v_j_filt_prime"], tolerance)
    assert_close(out.voice_BTF, dws.file["train/v_j_filt"], tolerance)
    assert_published(dws, "after1forward/", updates, tolerance=tolerance)


def test_dws_five_training_steps(dws, float64):
    """Loss, gradient, parameters, statistics. After one step Adam's first moment is a tenth of the clipped gradient."""
    variables = cast(dws.variables, np.float64)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        **variables,
        opt_state=make_optimizer(dws.config.training).init(variables["params"]),
        dropout_key=jax.random.key(0),
    )
    step = jax.jit(make_train_step(dws.config))
    for number in range(5):
        state, metrics = step(state, Batch(dws.file["input"], dws.file["target"]))
        assert_close(metrics["loss"], dws.file["trajectory/loss"][number], 1e-6)
        assert_close(metrics["gradient_norm"], dws.file["trajectory/grad_norm"][number], 1e-6)
        if number == 0:
            assert_close(metrics["masker"], dws.file["loss/masker"], 1e-6)
            assert_close(metrics["denoiser"], dws.file["loss/denoiser"], 1e-6)
            first_moment = optax.tree_utils.tree_get(state.opt_state, "mu")
            unclip = 10 * dws.file["trajectory/grad_norm"][0] / 0.5
            assert_published(dws, "grad/", {"params": first_moment}, unclip)
    assert_published(dws, "after5/", state.variables)
    out = jax.jit(dws.model().apply)(state.variables, jnp.asarray(dws.file["input"]))
    assert_close(out.voice_BTF, dws.file["after5eval/v_j_filt"], 1e-6)


def assert_published(dws, prefix, variables, factor=1.0, tolerance=1e-6):
    """Assert that the file's arrays under a prefix are these, and that it has as many."""
    found = to_torch(dws.config.model, {**dws.variables, **variables})
    expected = {n: array for n, array in under(dws.file, prefix).items() if not n.endswith("num_batches_tracked")}
    assert set(expected) == {p.published for p in parameters(dws.config.model) if p.path[0] in variables}
    for name, array in expected.items():
        assert_close(factor * found[name], array, tolerance)
