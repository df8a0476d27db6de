"""Parameters and the optimiser's state shared out among devices: the same training, in less memory on each."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from parallel_runs import TOLERANCE, assert_same_training, case, run_cases, run_in_two_processes
from tiny import GRU

from madsep_jax.checkpoint.folder import load_model, restore_state
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.parallel import make_layout
from madsep_jax.train.step import init_state

SHARDED = {"parallel": {"parameters": "sharded"}}
SMALL = {"system": "mad", "steps": 5, "set": {"masker.reduced_bins": 8}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A MaD in single precision on one device and on eight of one process; the latter leaves a checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    cases = {
        "one": case(devices=1, **SMALL),
        "sharded": case(devices=8, checkpoint=str(folder / "checkpoint"), **SMALL, **SHARDED),
    }
    return {**run_cases(cases, folder / "out.npz", "float32"), "folder": folder}


def test_the_training_is_the_same(trained):
    assert_same_training(trained["sharded"], trained["one"], TOLERANCE["float32"])


def test_each_device_holds_an_eighth_of_what_can_be_cut(trained):
    """Of parameters and both of Adam's moments; an array whose axes 8 does not divide is whole on each."""
    kept = {name: array for name, array in trained["sharded"].items() if name.startswith("share of ")}
    cut = 0
    for name, array in trained["sharded"].items():
        if name.startswith((".params", ".opt_state")):
            divisible = any(size % 8 == 0 and size for size in array.shape)
            assert kept[f"share of {name}"] == (1 / 8 if divisible else 1), name
            cut += divisible
    assert cut > 10
    assert all(share == 1 for name, share in trained["one"].items() if name.startswith("share of "))


def test_its_checkpoint_goes_on_on_one_device(trained):
    config, variables = load_model(trained["folder"] / "checkpoint")
    state = restore_state(trained["folder"] / "checkpoint", init_state(config))
    assert config.masker.reduced_bins == 8
    state = dataclasses.replace(state, dropout_key=jax.random.key_data(state.dropout_key), gradient=None)
    for key, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(key)
        np.testing.assert_array_equal(leaf, trained["sharded"][name], err_msg=name)
        assert len(leaf.sharding.device_set) == 1
    jax.tree.map(np.testing.assert_array_equal, variables["params"], state.params)


def test_what_puts_a_state_together_is_compiled_once(caplog):
    """And not again for each save."""
    layout = make_layout(GRU, ParallelConfig(devices=1, parameters="sharded"))
    placed = layout.place_state(init_state(GRU))
    with jax.log_compiles():
        layout.whole_state(placed)
        assert "ompiling" in caplog.text
        caplog.clear()
        layout.whole_state(placed)
    assert caplog.text == ""


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sharded_dws_is_the_same_in_one_process_and_two(tmp_path: Path, dtype):
    cases = {"one": case(devices=1), "sharded": case(devices=8, **SHARDED)}
    found = run_cases(cases, tmp_path / "out.npz", dtype)
    expected = found["one"]
    two = run_in_two_processes({"sharded": case(**SHARDED)}, tmp_path, dtype, devices_each=2)
    for arrays in (found["sharded"], *(process["sharded"] for process in two)):
        assert min(share for name, share in arrays.items() if name.startswith("share of ")) < 1
        assert_same_training(arrays, expected, TOLERANCE[dtype])
