"""The systems in PyTorch. Oracles: the published implementations' numbers under `reference/`, and our own systems.

Float64 throughout; tolerances are shares of each array's largest value.
"""

import dataclasses

import jax
import numpy as np
import pytest
from tiny import DWS, GRU, assert_close, magnitudes, reference, under

torch = pytest.importorskip("torch")

from experiments.benchmarks.peer.systems import build_peer, loss_of, make_train_step
from madsep_jax import DilatedConfig, LossConfig, ModelConfig, TrainingConfig, build_model
from madsep_jax.errors import InputError
from madsep_jax.interop import from_torch, to_torch
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state
from madsep_jax.train.step import make_train_step as make_our_train_step


def load(config, arrays):
    model = build_peer(config).double()
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})  # strict
    return model


def published(name):
    """A reference file and its model in PyTorch, dropout 0."""
    file = reference(name)
    arrays = under(file, "param/")
    config, _ = from_torch(arrays, context_frames=int(file["config/context"]))
    if hasattr(config.masker, "dropout"):
        config = dataclasses.replace(config, masker=dataclasses.replace(config.masker, dropout=0.0))
    counters = {
        n.replace("running_var", "num_batches_tracked"): np.int64(0) for n in arrays if n.endswith("running_var")
    }
    return file, config, load(config, arrays | counters)


def tensors(file):
    return torch.from_numpy(file["input"]), torch.from_numpy(file["target"])


@pytest.mark.parametrize("name", ["dws", "dws_residual"])
def test_dws_equals_the_published_one(name):
    file, _, model = published(name)
    mag_BSF, target_BTF = tensors(file)
    with torch.no_grad():
        found = model.eval()(mag_BSF)
    assert_close(found.masker_BTF, file["eval/v_j_filt_prime"], 1e-9)
    assert_close(found.voice_BTF, file["eval/v_j_filt"], 1e-9)
    no_penalties = LossConfig(masker_diagonal_l1=0.0, denoiser_l2=0.0)
    step = make_train_step(model.train(), no_penalties, TrainingConfig())
    assert_close([float(step(mag_BSF, target_BTF)) for _ in range(5)], file["trajectory/loss"], 1e-9)
    for found_name, expected in under(file, "after5/").items():
        if not found_name.endswith("num_batches_tracked"):
            assert_close(model.state_dict()[found_name], expected, 1e-7)
    with torch.no_grad():
        assert_close(model.eval()(mag_BSF).voice_BTF, file["after5eval/v_j_filt"], 1e-7)


def test_mad_twinnet_equals_the_published_one():
    file, _, model = published("mad_twinnet")
    mag_BSF, target_BTF = tensors(file)
    with torch.no_grad():
        found = model.eval()(mag_BSF)
    assert_close(found.masker_BTF, file["mad/v_j_filt_prime"], 1e-9)
    assert_close(found.voice_BTF, file["mad/v_j_filt"], 1e-9)
    step = make_train_step(model.train(), LossConfig(), TrainingConfig())
    assert_close([float(step(mag_BSF, target_BTF)) for _ in range(5)], file["trajectory/loss"], 1e-9)
    for found_name, expected in under(file, "after5/").items():
        assert_close(model.state_dict()[found_name], expected, 1e-7)


def of_masker(base, **fields):
    return dataclasses.replace(base, masker=dataclasses.replace(base.masker, **fields))


OURS = {
    "mad": GRU,
    "mad, both axes flipped": of_masker(GRU, residual_flip="time_and_frequency"),
    "recurrent inference": of_masker(GRU, recurrent_iterations=3, recurrent_tolerance=0.0),
    "recurrent inference that ends": of_masker(GRU, recurrent_iterations=3, recurrent_tolerance=1e6),
    "twinnet": of_masker(GRU, twin=True),
    "dws": of_masker(DWS, dropout=0.0),
    "dws of two layers, residual": of_masker(DWS, dropout=0.0, layers=2, residual=True),
    "dws, middle frames": of_masker(DWS, dropout=0.0, input_frames="middle"),
}


def random_like(variables):
    """Weights of which none is what a layer starts with; variances stay positive."""
    random = np.random.default_rng(1)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            random.uniform(0.5, 1.5, leaf.shape) if path[-1].key == "var" else random.normal(0, 0.3, leaf.shape)
        ),
        variables,
    )


@pytest.mark.parametrize("name", OURS)
def test_equals_ours(name, request):
    config = OURS[name]
    state = init_state(config)
    request.getfixturevalue("float64")
    variables = random_like(state.variables)
    model = load(config.model, to_torch(config.model, variables))
    batch = Batch(magnitudes(2, 8, 81).astype(float), magnitudes(2, 4, 81, seed=1).astype(float))
    mag_BSF, voice_BTF = torch.from_numpy(batch.mix_BSF), torch.from_numpy(batch.voice_BTF)
    expected = jax.jit(build_model(config.model).apply)(variables, batch.mix_BSF)
    with torch.no_grad():
        found = model.eval()(mag_BSF)
    assert_close(found.masker_BTF, expected.masker_BTF, 1e-10)
    assert_close(found.voice_BTF, expected.voice_BTF, 1e-10)

    of_state = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    optimizer_state = jax.tree.map(
        lambda leaf: leaf.astype(float) if np.issubdtype(leaf.dtype, np.floating) else leaf, state.opt_state
    )
    state = dataclasses.replace(state, **of_state, opt_state=optimizer_state)
    our_step = jax.jit(make_our_train_step(config))
    step = make_train_step(model.train(), config.loss, config.training)
    for _ in range(2):
        state, metrics = our_step(state, batch)
        assert_close(float(step(mag_BSF, voice_BTF)), metrics["loss"], 1e-10)
    after = to_torch(config.model, jax.device_get(state.variables))
    for parameter, array in model.state_dict().items():
        if not parameter.endswith("num_batches_tracked"):
            assert_close(array, after[parameter], 1e-5)  # the clips differ by 1e-6 of the norm


def test_fused_optimizer_equals_the_default():
    losses = []
    for fused in (False, True):
        file, _, model = published("mad_twinnet")
        step = make_train_step(model.train(), LossConfig(), TrainingConfig(), fused=fused)
        losses.append([float(step(*tensors(file))) for _ in range(3)])
    assert_close(losses[1], losses[0], 1e-12)


def test_dropout_is_of_whole_channels():
    config = of_masker(DWS, dropout=0.5)
    torch.manual_seed(0)
    block = build_peer(config.model).masker.latent_conv[0].train()
    with torch.no_grad():
        h_BCTW = block(torch.from_numpy(magnitudes(4, 8, 5, 6)))
    silent_BC = (h_BCTW == 0).all(dim=(2, 3))
    assert 8 <= silent_BC.sum() <= 24  # of 32, by 5 standard deviations
    assert (h_BCTW[~silent_BC] != 0).all()


def test_what_is_not_written_in_torch():
    with pytest.raises(InputError, match="dilated: not written in PyTorch, expected MaD, MaD TwinNet or a DWS-CNN"):
        build_peer(ModelConfig(bins=81, context_frames=2, masker=DilatedConfig(channels=16)))
    with pytest.raises(InputError, match=r"loss\.target: found 'ratio_mask'"):
        make_train_step(build_peer(GRU.model), LossConfig(target="ratio_mask"), TrainingConfig())


def test_the_target_gets_no_gradient_through_the_twin():
    config = OURS["twinnet"]
    model = build_peer(config.model).train()
    mag_BSF, voice_BTF = (torch.from_numpy(magnitudes(2, frames, 81)) for frames in (8, 4))
    only_distance = LossConfig(twin_kl=0.0, masker_diagonal_l1=0.0, denoiser_l2=0.0)
    loss_of(model, model(mag_BSF), voice_BTF, only_distance).backward()
    twin = model.twin_net.rnn_dec.gru_dec.weight_hh_l0.grad
    assert twin is None or not twin.any()
    assert model.affine.linear_layer.weight.grad.any()
