"""Trainings from given weights. Oracles: the weights themselves; the loss of the first step, which is theirs."""

import json

import jax
import numpy as np
import pytest
from tiny import DWS, GRU

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile", "safetensors"):
    pytest.importorskip(package)

from watched import DAE, config, source, train

from experiments.training.given_weights import GivenWeights
from experiments.training.log import read_log
from experiments.training.saving import find_start
from madsep_jax.checkpoint.folder import load_model, save_checkpoint
from madsep_jax.config.io import override, to_dict
from madsep_jax.config.presets import released_fields
from madsep_jax.errors import InputError
from madsep_jax.interop import to_torch, write_safetensors
from madsep_jax.train.step import init_state


def assert_trees_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("kind", ["checkpoint", "row"])
def test_it_starts_from_the_weights_of_a_checkpoint(tmp_path, kind):
    """All else is new: the step, the optimiser, and the order of another seed."""
    train(tmp_path / "before", config(**{"training.steps": 4}))
    _, weights = load_model(tmp_path / "before")
    given = GivenWeights.read(tmp_path / "before" / ("checkpoint" if kind == "checkpoint" else ""))
    run = config(7, **{"training.steps": 3})
    start = find_start(run, source(), tmp_path / "row", given)
    assert_trees_equal(start.state.variables, weights)
    fresh = init_state(run)
    assert start.step == 0
    assert_trees_equal(start.state.opt_state, fresh.opt_state)
    assert given.about() == {
        "path": str(given.path),
        "weights": "latest weights, step 4",
        "fingerprint": given.fingerprint(),
    }


def test_the_first_loss_is_theirs_and_a_resumed_training_does_not_start_again(tmp_path):
    """Of a rate of next to nothing, the training from given weights goes on where they were."""
    train(tmp_path / "before", config(**{"training.steps": 5}))
    given = GivenWeights.read(tmp_path / "before")
    still = {"training.learning_rate": 1e-30}
    train(tmp_path / "row", config(**still, **{"training.steps": 2}), start_from=given)
    _, weights = load_model(tmp_path / "row")
    assert_trees_equal(weights, load_model(tmp_path / "before")[1])
    train(tmp_path / "fresh", config(**still, **{"training.steps": 1}))
    assert read_log(tmp_path / "row", "train")[0]["loss"] < read_log(tmp_path / "fresh", "train")[0]["loss"]
    train(tmp_path / "row", config(**{"training.steps": 6}), start_from=given)
    moved = load_model(tmp_path / "row")[1]
    assert find_start(config(**{"training.steps": 7}), source(), tmp_path / "row", given).step == 6
    assert not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), moved, weights))


@pytest.mark.parametrize("with_config", [True, False])
def test_it_starts_from_a_file(tmp_path, with_config):
    """One that `madsep export` wrote tells its architecture; of any other it is that of the released code."""
    run = override(GRU, {name: value for name, value in released_fields("gru").items() if name.startswith("masker.")})
    state = init_state(run)
    path = tmp_path / "mad.safetensors"
    write_safetensors(
        path, to_torch(run.model, state.variables), {"madsep_jax.config": to_dict(run)} if with_config else None
    )
    given = GivenWeights.read(path)
    given.check(run, "mad-seed0")
    assert_trees_equal(given.into(init_state(override(run, {"training.seed": 5}))).variables, state.variables)
    if not with_config:
        with pytest.raises(
            InputError, match=r"masker.residual_flip 'time_and_frequency', expected 'time'.* row mad-seed0"
        ):
            given.check(GRU, "mad-seed0")


@pytest.mark.parametrize(
    ("saved", "wanted", "message"),
    [
        (GRU, DWS, "found masker 'gru', expected 'dws' as of the row x"),
        (GRU, override(GRU, {"masker.reduced_bins": 8}), "found masker.reduced_bins 9, expected 8 as of the row x"),
        (
            DWS,
            override(DWS, {"masker.kernel": 5, "masker.layers": 2}),
            "masker.layers 1, expected 2; masker.kernel 3, expected 5",
        ),
        (DAE, override(DAE, {"signal.fft_length": 128}), "found bins 81, expected 65 as of the row x"),
        (DWS, override(DWS, {"masker.dropout": 0.1}), None),
    ],
)
def test_another_architecture_is_refused_by_both_sides(tmp_path, saved, wanted, message):
    save_checkpoint(tmp_path, saved, init_state(saved))
    given = GivenWeights.read(tmp_path)
    if message is None:
        given.check(wanted, "x")
        return
    with pytest.raises(InputError) as caught:
        given.check(wanted, "x")
    assert str(caught.value).startswith(f"--start-from {tmp_path}: ")
    assert message in str(caught.value)


def test_other_weights_have_another_fingerprint(tmp_path):
    found = []
    for seed in (0, 0, 1):
        run = config(seed)
        save_checkpoint(tmp_path / str(len(found)), run, init_state(run))
        found.append(GivenWeights.read(tmp_path / str(len(found))).fingerprint())
    assert found[0] == found[1] != found[2]
    assert json.dumps(found)
