"""`madsep import` and `madsep export`, on published arrays under `reference/`. Oracle: exact recovery."""

import dataclasses

import jax
import numpy as np
import pytest
from cyclopts import App
from safetensors.numpy import load_file, save_file
from tiny import reference, under

from experiments.cli.command import BAD_INPUT, run
from experiments.separator import weights as import_command
from madsep_jax import DwsMaskerConfig, GruMaskerConfig, InputError, RunConfig, SignalConfig, separate
from madsep_jax.checkpoint.folder import load_model, restore_state, save_model
from madsep_jax.config.io import override
from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.host.environment import describe_device
from madsep_jax.interop import to_torch, write_safetensors
from madsep_jax.models.variables import variable_shapes
from madsep_jax.train.step import init_state

SIGNAL = SignalConfig(sample_rate=8000, window_length=65, hop_length=16, fft_length=158)  # 80 bins


@pytest.fixture
def madsep(monkeypatch, capsys):
    """Run `madsep …`, on presets of the signal above; return exit code, output and errors."""
    preset_config = import_command.preset_config
    monkeypatch.setattr(
        import_command,
        "preset_config",
        lambda name: dataclasses.replace(preset_config(name), signal=SIGNAL, masker=DWS),
    )
    app = App(name="madsep")
    app.command(import_command.import_model, name="import", usage=import_command.IMPORT_USAGE)
    app.command(import_command.export_model, name="export", usage=import_command.EXPORT_USAGE)

    def call(*arguments):
        code = run(app, [str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


DWS = DwsMaskerConfig(layers=2, channels=6)


def random_variables(config, seed=0):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.random(leaf.shape, np.float32), variable_shapes(config.model))


@pytest.mark.parametrize("name", ["dws", "dws_residual"])
def test_import_then_export(tmp_path, madsep, name):
    published = under(reference(name), "param/")
    write_safetensors(tmp_path / "dws.safetensors", published)
    code, out, err = madsep("import", tmp_path / "dws.safetensors", "-o", tmp_path / "model", "--context-frames", 3)
    assert (code, err) == (0, "")
    assert "dws (" in out
    assert "masker 1,956" in out
    config, variables = load_model(tmp_path / "model")
    assert config.preset == "released_code"
    assert config.masker == dataclasses.replace(DWS, residual=name == "dws_residual", input_frames="middle")
    assert (config.sequences.frames, config.sequences.context) == (46, 3)
    assert config.loss.target == "ratio_mask"
    noise_NC = np.random.default_rng(0).normal(size=(900, 1)).astype(np.float32)
    assert np.isfinite(separate(config, variables, noise_NC, 8000).voice_NC).all()
    assert madsep("export", tmp_path / "model", "-o", tmp_path / "again.safetensors")[0] == 0
    again = load_file(tmp_path / "again.safetensors")
    assert set(again) == set(published)
    for parameter, array in published.items():
        np.testing.assert_array_equal(again[parameter], array.astype(again[parameter].dtype))


@pytest.mark.parametrize(
    "masker",
    [
        GruMaskerConfig(reduced_bins=9, twin=True),
        GruMaskerConfig(reduced_bins=9, recurrent_iterations=3, recurrent_tolerance=0.1),
        DwsMaskerConfig(layers=1, channels=2),
    ],
)
def test_export_then_import_keeps_what_arrays_cannot_tell(tmp_path, madsep, masker):
    config = RunConfig(signal=SIGNAL, masker=masker)
    save_model(tmp_path / "model", config, random_variables(config))
    assert madsep("export", tmp_path / "model", "-o", tmp_path / "file" / "m.safetensors")[0] == 0
    assert madsep("import", tmp_path / "file", "-o", tmp_path / "again")[0] == 0
    found_config, found = load_model(tmp_path / "again")
    assert found_config == config
    jax.tree.map(np.testing.assert_array_equal, found, random_variables(config))
    assert madsep("import", tmp_path / "file", "-o", tmp_path / "less", "--context-frames", 2)[0] == 0
    fewer = override(config, {"sequences.context": 2, "sequences.frames": 44})
    assert load_model(tmp_path / "less")[0] == fewer


def test_no_training_goes_on_from_an_imported_model(tmp_path):
    config = RunConfig(signal=SIGNAL, masker=GruMaskerConfig(reduced_bins=9))
    save_model(tmp_path / "model", config, random_variables(config))
    with pytest.raises(InputError, match="the training of step 0 cannot be read"):
        restore_state(tmp_path / "model", init_state(config))


def test_presets_decide_what_arrays_cannot_tell(tmp_path, madsep):
    config = RunConfig(signal=SIGNAL, masker=GruMaskerConfig(reduced_bins=9, twin=True))
    write_safetensors(tmp_path / "m.safetensors", to_torch(config.model, random_variables(config)))
    for preset, flip in [("paper", "time"), ("released_code", "time_and_frequency")]:
        assert madsep("import", tmp_path / "m.safetensors", "-o", tmp_path / preset, "--preset", preset)[0] == 0
        found = load_model(tmp_path / preset)[0]
        assert (found.preset, found.masker.residual_flip, found.masker.twin_flip) == (preset, flip, flip)
        assert found.masker.twin


def test_wrong_input_is_one_line(tmp_path, madsep):
    write_safetensors(tmp_path / "mad.safetensors", under(reference("mad_twinnet"), "param/mad."))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    write_safetensors(tmp_path / "dws.safetensors", under(reference("dws"), "param/"))
    for arguments, message in [
        (("import", "-o", tmp_path / "a"), "FILE requires an argument"),
        (("import", tmp_path / "mad.safetensors", "-o", tmp_path / "a"), "found spectra of 33 bins, expected 80"),
        (("import", tmp_path / "dws.safetensors", "-o", tmp_path / "full"), "expected a new or an empty folder"),
        (("import", tmp_path / "none.safetensors", "-o", tmp_path / "a"), "no such file or folder"),
        (("export", tmp_path, "-o", tmp_path / "a.pt"), "expected .safetensors"),
        (("export", tmp_path, "-o", tmp_path / "a.safetensors"), "not a checkpoint"),
    ]:
        code, out, err = madsep(*arguments)
        assert code == BAD_INPUT
        assert out in ("", describe_device() + "\n")
        assert message in err
        assert err.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_a_configuration_that_is_not_that_of_its_arrays(tmp_path, madsep):
    arrays = under(reference("dws"), "param/")
    for masker, message in [
        ({"kind": "gru"}, "found kind 'gru', expected 'dws'"),
        ({"kind": "dws", "layers": 7, "channels": 6}, "found layers 7, expected 2"),
        ({"kind": "dws", "layres": 7}, "unknown field 'layres'"),
    ]:
        header = {"madsep_jax.config": {"signal": dataclasses.asdict(SIGNAL), "masker": masker}}
        if masker["kind"] == "gru":
            header["madsep_jax.config"]["masker"] = {"kind": "gru", "reduced_bins": 9}
        write_safetensors(tmp_path / "m.safetensors", arrays, header)
        code, _, err = madsep("import", tmp_path / "m.safetensors", "-o", tmp_path / "a")
        assert code == BAD_INPUT
        assert message in err


def test_a_system_that_was_not_published(tmp_path, madsep):
    masker = DilatedConfig(role="masker", blocks=1, channels=8, convolutions=1)
    config = RunConfig(signal=SIGNAL, masker=masker)
    save_model(tmp_path / "model", config, random_variables(config))
    code, _, err = madsep("export", tmp_path / "model", "-o", tmp_path / "a.safetensors")
    assert code == BAD_INPUT
    assert "has no published names" in err


def test_other_arrays(tmp_path, madsep):
    save_file({"weight": np.zeros(2)}, tmp_path / "a.safetensors")
    code, _, err = madsep("import", tmp_path / "a.safetensors", "-o", tmp_path / "model")
    assert code == BAD_INPUT
    assert "no known system" in err
