"""What was exported and read back equals the model itself: the same StableHLO, so the same numbers."""

import dataclasses
import functools
import json
import os

import jax
import numpy as np
import pytest
import tiny
from jax import export

from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.config.systems import SYSTEMS, fields_of
from madsep_jax.errors import InputError
from madsep_jax.export import export_forward, export_train_step, read_separator, train_step_of, write_separator
from madsep_jax.models import build_model
from madsep_jax.models.variables import variable_shapes
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, make_train_step

F = tiny.SIGNAL.bins
S, T = tiny.SEQUENCES.frames, tiny.SEQUENCES.target_frames
TWIN = override(tiny.GRU, {"masker.twin": True})


@pytest.fixture(scope="module", params=["mad", "dws"])
def separator(request, tmp_path_factory):
    """A config, its variables, and the file of their separator."""
    config = {"mad": TWIN, "dws": tiny.DWS}[request.param]
    variables = init_state(config).variables
    path = tmp_path_factory.mktemp("exported") / "separator.npz"
    write_separator(path, config, variables)
    return config, variables, path


def assert_equal_trees(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_a_separator_read_from_a_file_equals_its_model_at_every_batch_size(separator):
    config, variables, path = separator
    exported = read_separator(path)
    assert exported.config == config
    apply = jax.jit(functools.partial(build_model(config.model).apply, train=False))
    for batch in (1, 3):
        mag_BSF = tiny.magnitudes(batch, S, F)
        expected = apply(variables, mag_BSF)
        assert_equal_trees(exported(mag_BSF), expected)


def test_a_separator_refuses_other_lengths(separator):
    with pytest.raises(ValueError, match=str(S)):
        read_separator(separator[2])(tiny.magnitudes(1, S + 1, F))


def test_the_file_is_plain_arrays_and_holds_only_what_inference_needs(separator):
    config, _, path = separator
    with np.load(path, allow_pickle=False) as archive:
        assert json.loads(str(archive["config"]))["masker"]["kind"] == config.masker.kind
        assert archive["program"].dtype == np.uint8
        assert archive["variables/params/denoiser/encoder/kernel"].shape == (F, F // 2)
        assert not [name for name in archive.files if "twin" in name or "affine" in name]


@pytest.mark.parametrize("system", [*SYSTEMS, "dws-2-8", "dws-2-8-res-k3", "dws-4-8-dilated"])
def test_every_system_can_be_exported_for_any_batch_size(system):
    base = override(preset_config("paper"), {"signal": tiny.SIGNAL, "sequences": tiny.SEQUENCES})
    config = override(base, fields_of(system, base))
    (mask,) = {str(aval.shape) for aval in export_forward(config, variable_shapes(config.model)).out_avals if aval.ndim}
    assert mask.startswith("(batch, ")


@pytest.mark.parametrize("config", [tiny.GRU, tiny.DWS], ids=["mad", "dws"])
def test_an_exported_train_step_equals_the_step(config):
    """Dropout and running statistics included; two steps, so that the state goes in and out."""
    program = export.deserialize(export_train_step(config, jax.eval_shape(lambda: init_state(config))).serialize())
    batch = Batch(tiny.magnitudes(2, S, F), tiny.magnitudes(2, T, F, seed=1))
    found, expected = init_state(config), init_state(config)
    step, exported = jax.jit(make_train_step(config)), jax.jit(train_step_of(program))
    for _ in range(2):
        expected, expected_metrics = step(expected, batch)
        found, metrics = exported(found, batch)
        assert_equal_trees(metrics, expected_metrics)
    assert found.dropout_key == expected.dropout_key
    for field in dataclasses.fields(found):
        if field.name != "dropout_key":
            assert_equal_trees(getattr(found, field.name), getattr(expected, field.name))


def edited(path, tmp_path, **changes):
    """A copy of a file with some arrays replaced, or left out where None."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    copy = tmp_path / "edited.npz"
    np.savez(copy, **{name: array for name, array in arrays.items() if array is not None})
    return copy


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_refuses_a_file_that_is_something_else(separator, tmp_path, content):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(separator[2].read_bytes()[:-100] if content is None else content)
    with pytest.raises(InputError, match=r"bad\.npz: cannot be read, expected an exported separator"):
        read_separator(bad)


@pytest.mark.parametrize(
    "changes",
    [
        {"program": np.zeros(100, np.uint8)},
        {"program": None},
        {"config": None},
        {"config": np.asarray("{")},
    ],
)
def test_refuses_damaged_content(separator, tmp_path, changes):
    with pytest.raises(InputError, match=r"edited\.npz"):
        read_separator(edited(separator[2], tmp_path, **changes))


def test_runs_no_pickle(separator, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    with pytest.raises(InputError, match=r"edited\.npz"):
        read_separator(edited(separator[2], tmp_path, config=np.asarray([Trap()])))
    assert not (tmp_path / "sprung").exists()


def test_refuses_a_missing_file_and_another_device(separator, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        read_separator(tmp_path / "none.npz")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(InputError, match="found a program for cpu, expected one for gpu"):
        read_separator(separator[2])


def test_refuses_a_place_that_cannot_be_written(separator, tmp_path):
    config, variables, _ = separator
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        write_separator(tmp_path / "file" / "separator.npz", config, variables)
