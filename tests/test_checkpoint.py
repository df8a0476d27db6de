"""Oracles: what was saved, bit for bit; the text of each refusal, on one line."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import DWS, GRU

from madsep_jax.checkpoint.folder import (
    CheckpointWriter,
    load_config,
    load_level,
    load_model,
    restore_state,
    save_checkpoint,
)
from madsep_jax.checkpoint.steps import OrbaxSteps
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError
from madsep_jax.train.step import init_state


@pytest.fixture(scope="module")
def states():
    """After 5 steps, as it were."""
    fives = {run.masker.kind: init_state(run) for run in (GRU, DWS)}
    return {kind: dataclasses.replace(state, step=state.step + 5) for kind, state in fives.items()}


@pytest.fixture
def saved(tmp_path, states):
    save_checkpoint(tmp_path, GRU, states["gru"])
    return tmp_path


def assert_trees_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_refused(call, *texts):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for text in texts:
        assert str(text) in message


@pytest.mark.parametrize("run", [GRU, DWS], ids=["gru", "dws"])
def test_round_trip(tmp_path, states, run):
    state = states[run.masker.kind]
    save_checkpoint(tmp_path, run, state)
    config, variables = load_model(tmp_path)
    assert config == run
    assert load_config(tmp_path) == run
    assert_trees_equal(variables, state.variables)
    other = dataclasses.replace(
        state,
        params=jax.tree.map(jnp.zeros_like, state.params),
        opt_state=jax.tree.map(jnp.ones_like, state.opt_state),
        dropout_key=jax.random.key(5),
    )
    restored = restore_state(tmp_path, other)
    assert restored.step == 5
    np.testing.assert_array_equal(*(jax.random.key_data(s.dropout_key) for s in (restored, state)))
    assert_trees_equal(restored.opt_state, state.opt_state)
    assert_trees_equal(restored.variables, state.variables)


def test_the_config_says_what_made_it(saved):
    written = json.loads((saved / "config.json").read_text())
    assert written["environment"]["versions"]["jax"] == jax.__version__
    assert written["config"]["masker"] == to_dict(GRU.masker)
    assert written["config"]["masker"]["reduced_bins"] == 9


def test_a_relative_path_is_as_good(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    assert_trees_equal(load_model(Path(saved.name))[1], load_model(saved)[1])


@pytest.mark.parametrize("step", [3, 5, 8])
def test_the_second_save_replaces_the_first(saved, states, step):
    """That of another training in this folder too, which may have come less far."""
    changed = jax.tree.map(lambda leaf: leaf + 1, states["gru"].params)
    save_checkpoint(saved, GRU, dataclasses.replace(states["gru"], step=jnp.asarray(step), params=changed))
    assert_trees_equal(load_model(saved)[1], {"params": changed})
    assert restore_state(saved, states["gru"]).step == step
    assert len([folder for folder in saved.iterdir() if folder.is_dir()]) == 1


def test_nothing_saved_yet(tmp_path, states):
    assert restore_state(tmp_path, states["gru"]) is None
    assert restore_state(tmp_path / "missing", states["gru"]) is None
    assert not (tmp_path / "missing").exists()


def test_missing_folder(tmp_path):
    folder = tmp_path / "missing"
    assert_refused(lambda: load_model(folder), f"{folder}: not a checkpoint, expected a folder with config.json")
    assert not folder.exists()


def test_no_config(saved):
    (saved / "config.json").unlink()
    assert_refused(lambda: load_model(saved), f"{saved}: not a checkpoint")


@pytest.mark.parametrize("text", ['{"config": ', "", "[]", "null", "{}", '{"config": 3}', "\x00"])
def test_damaged_config(saved, text):
    (saved / "config.json").write_text(text)
    assert_refused(lambda: load_model(saved), saved / "config.json")


def test_unknown_field_is_named_with_the_nearest(saved):
    path = saved / "config.json"
    path.write_text(path.read_text().replace('"reduced_bins"', '"reduced_bin"'))
    assert_refused(
        lambda: load_model(saved), "config.json.masker: unknown field 'reduced_bin', did you mean 'reduced_bins'?"
    )


def test_no_weights(saved):
    for folder in saved.iterdir():
        if folder.is_dir():
            folder.rename(saved.parent / f"{saved.name}-elsewhere")
    assert_refused(lambda: load_model(saved), f"{saved}: no weights")


def truncate(length):
    return lambda path: path.write_bytes(path.read_bytes()[:length])


def expect_ten_bins(path):
    path.write_text(path.read_text().replace('"reduced_bins": 9', '"reduced_bins": 10'))


DAMAGES = {  # the files, what happens to them, what cannot be read
    "weights of 0 bytes": ("5/weights/**/*", truncate(0), "weights"),
    "weights of 5 bytes": ("5/weights/**/*", truncate(5), "weights"),
    "weights of 40 bytes": ("5/weights/**/*", truncate(40), "weights"),
    "no manifest": ("5/weights/**/manifest.ocdbt", Path.unlink, "weights"),
    "no data": ("5/weights/**/d/*", Path.unlink, "weights"),
    "weights of another architecture": ("config.json", expect_ten_bins, "weights"),
    "training state of 5 bytes": ("5/training/**/*", truncate(5), "training"),
}
LOAD = """
import json, pathlib, sys
from tiny import GRU
from madsep_jax import InputError
from madsep_jax.checkpoint.folder import load_model, restore_state
from madsep_jax.train.step import init_state

state, messages = init_state(GRU), {}
for name, item in json.loads(sys.argv[2]).items():
    folder = pathlib.Path(sys.argv[1], name)
    try:
        load_model(folder) if item == "weights" else restore_state(folder, state)
    except InputError as error:
        messages[name] = str(error)
print(json.dumps(messages))
"""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, states):
    """A folder of damaged checkpoints, and what loading each of them says.

    In a process of its own: where one of its reads fails, Orbax leaves others under way, which write to stderr.
    """
    root = tmp_path_factory.mktemp("damaged")
    for name, (pattern, damage, _) in DAMAGES.items():
        save_checkpoint(root / name, GRU, states["gru"])
        files = [path for path in (root / name).glob(pattern) if path.is_file()]
        assert files
        for path in files:
            damage(path)
    items = json.dumps({name: item for name, (*_, item) in DAMAGES.items()})
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, root, items], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


def test_a_damaged_training_state_leaves_the_model(damaged, states):
    assert_trees_equal(load_model(damaged[0] / "training state of 5 bytes")[1], states["gru"].variables)


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_arrays(damaged, name):
    root, messages = damaged
    assert messages[name].startswith(f"{root / name}: the {DAMAGES[name][2]} of step 5 cannot be read: ")
    assert "\n" not in messages[name]


def small_disk(folder):
    """A disk of 1 MB in memory; skips the test where this user can mount none."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("cannot mount a small disk")


def save_and_wait(writer, state):
    writer.save(state)
    writer.wait()


# Where one write fails, Orbax leaves the others under way, which then find nobody to tell.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("looks_first", [True, False])
def test_a_full_disk_is_one_line_and_the_last_checkpoint_loads(tmp_path, states, monkeypatch, looks_first):
    """The room is asked for first; where that does not help, the writes fail in the background."""
    small_disk(tmp_path / "disk")
    if not looks_first:
        monkeypatch.setattr(OrbaxSteps, "_check_room", lambda self, items: None)
    try:
        folder = tmp_path / "disk" / "row"
        with CheckpointWriter(folder, GRU) as writer:
            writer.save(states["gru"])
            writer.wait()
            free = shutil.disk_usage(folder).free
            (tmp_path / "disk" / "other").write_bytes(bytes(max(free - 50_000, 0)))
            with pytest.raises(InputError) as caught:
                save_and_wait(writer, dataclasses.replace(states["gru"], step=jnp.asarray(6)))
        message = str(caught.value)
        assert message.startswith(f"{folder}: the checkpoint of step 6 cannot be written: No space left on device")
        assert "\n" not in message
        (tmp_path / "disk" / "other").unlink()
        assert_trees_equal(load_model(folder)[1], states["gru"].variables)
        assert restore_state(folder, states["gru"]).step == 5
    finally:
        subprocess.run(["umount", "-l", tmp_path / "disk"], check=True)


def test_the_buffers_may_be_written_over_at_once(tmp_path, states):
    """The state is donated while it is being written; what comes back is what was saved.

    And donation is not refused, as it would be while NumPy had a view of a buffer: the arrays are gone.
    """
    state = jax.tree.map(jnp.copy, states["gru"])
    kept = jax.tree.map(np.array, states["gru"].params)
    overwrite = jax.jit(lambda params: jax.tree.map(lambda leaf: leaf * 0 - 1, params), donate_argnums=0)
    with CheckpointWriter(tmp_path, GRU) as writer:
        for _ in range(3):
            writer.save(state)
            jax.block_until_ready(overwrite(state.params))
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
            writer.wait()
            assert_trees_equal(load_model(tmp_path)[1]["params"], kept)
            state = dataclasses.replace(state, step=state.step + 1, params=jax.tree.map(jnp.array, kept))


def test_the_level_of_the_training_is_kept(tmp_path, saved):
    """None of a checkpoint that has none; and one line where it is no level."""
    assert load_level(saved) is None
    with CheckpointWriter(tmp_path / "row", GRU, level=0.125):
        pass
    assert load_level(tmp_path / "row") == 0.125
    assert load_config(tmp_path / "row") == GRU
    content = json.loads((tmp_path / "row" / "config.json").read_text())
    for wrong in (-1.0, 0.0, float("inf"), "loud", True):
        (tmp_path / "row" / "config.json").write_text(json.dumps({**content, "training_level": wrong}))
        with pytest.raises(
            InputError, match=r"config.json: is damaged, found the level .*, expected a positive number$"
        ):
            load_level(tmp_path / "row")
