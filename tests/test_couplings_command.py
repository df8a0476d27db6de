import dataclasses
import errno
import json
import os

import numpy as np
import pytest
import tiny

from experiments.cli.results import save_figure
from experiments.coupling_maps.report import DISTANCES_HZ, largest_in_cells, mapping_figure, top_of
from experiments.couplings import main
from madsep_jax.checkpoint.folder import save_checkpoint
from madsep_jax.config.io import override
from madsep_jax.config.maskers import AutoencoderConfig, DilatedConfig, GruMaskerConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.signal import SequenceConfig
from madsep_jax.config.systems import fields_of, system_name
from madsep_jax.train.step import init_state

F = tiny.SIGNAL.bins
PNG = b"\x89PNG\r\n\x1a\n"
SINGLE = SequenceConfig(frames=1, context=0)
CONFIGS = {
    "dae": RunConfig(signal=tiny.SIGNAL, sequences=SINGLE, masker=AutoencoderConfig()),
    "dae-deep": RunConfig(signal=tiny.SIGNAL, sequences=SINGLE, masker=AutoencoderConfig(hidden_layers=3)),
    "skip-filtering": RunConfig(signal=tiny.SIGNAL, sequences=SINGLE, masker=AutoencoderConfig(skip_filtering=True)),
    "mad": override(tiny.GRU, {"masker.reduced_bins": round(F * 744 / 2049)}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A row's folder for each system, its checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("rows")
    for name, config in CONFIGS.items():
        save_checkpoint(folder / name / "checkpoint", config, init_state(config))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(checkpoints, cache, tmp_path):
    """Run the command on a system with small settings; more options replace them. Returns the exit code."""

    def run(system, *more):
        options = {
            "--checkpoint": checkpoints / system,
            "--data": "embedded",
            "--songs": 1,
            "--frames": 40,
            "--steps": 12,
            "--cache": cache,
            "--out": tmp_path / "out",
        }
        options |= dict(zip(more[::2], more[1::2], strict=True))
        return main([str(part) for option in options.items() for part in option])

    return run


def error_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("system", "form"),
    [
        ("dae", "compositional"),
        ("dae-deep", "compositional"),
        ("skip-filtering", "compositional"),
        ("mad", "student"),
    ],
)
def test_writes_matrix_pictures_and_numbers(command, tmp_path, capsys, system, form):
    assert command(system) == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "couplings.json",
        "couplings.npz",
        "mapping_linear.png",
        "mapping_log.png",
        "report.html",
        "table.md",
    ]
    assert all((out / f"mapping_{axis}.png").read_bytes().startswith(PNG) for axis in ("linear", "log"))
    printed = capsys.readouterr().out
    assert f"{system}, neural couplings, {form} form: 40 frames of 1 test songs" in printed
    assert "on the diagonal" in printed
    assert "| on the diagonal " in (out / "table.md").read_text()

    with np.load(out / "couplings.npz", allow_pickle=False) as arrays:
        assert arrays["mapping_FF"].shape == (F, F)
        assert np.isfinite(arrays["mapping_FF"]).all()
        np.testing.assert_allclose(arrays["frequencies_hz"], np.arange(F) * 50)
        assert arrays["input_rms_F"].shape == (F,)
        assert arrays["l1_history_K"].shape == (13,)
        assert (arrays["system"], arrays["form"]) == (system, form)
        l1_start, l1_end, l1_output = (float(arrays[f"l1_{name}"]) for name in ("start", "end", "output"))

    content = json.loads((out / "couplings.json").read_text())
    assert (content["system"], content["form"]) == (system, form)
    assert content["l1"]["total"] == l1_end < l1_start == content["l1"]["start_total"]
    assert content["l1"]["per_element"] == pytest.approx(l1_end / (40 * F))
    assert content["l1"]["relative"] == pytest.approx(l1_end / l1_output)
    assert [share["within_hz"] for share in content["diagonal_shares"]] == list(DISTANCES_HZ)
    assert [share["within_bins"] for share in content["diagonal_shares"]] == [0, 1, 2, 4]
    assert content["diagonal_shares"][0]["uniform"] == pytest.approx(1 / F)
    assert content["couplings"]["steps"] == 12
    assert content["config"]["signal"]["sample_rate"] == 8000
    assert content["protocol"]["frames"] == 40
    assert len(content["protocol"]["songs"]) == 1
    assert content["environment"]["backend"]


def test_the_student_form_can_be_asked_for(command, tmp_path):
    assert command("dae", "--form", "student", "--initial", "zeros") == 0
    content = json.loads((tmp_path / "out" / "couplings.json").read_text())
    assert content["form"] == "student"
    assert content["couplings"]["initial"] == "zeros"
    assert content["diagonal_shares"][0]["start"] is None  # of a matrix of zeros there is none


def test_takes_the_checkpoint_itself(command, checkpoints):
    assert command("dae", "--checkpoint", checkpoints / "dae" / "checkpoint", "--steps", "1", "--frames", "1") == 0


@pytest.mark.parametrize(
    ("system", "more", "message"),
    [
        ("mad", ("--form", "compositional"), "--form compositional: found the system mad, expected an autoencoder"),
        ("dae", ("--form", "teacher"), "--form"),
        ("dae", ("--initial", "zeros"), "CouplingsConfig.initial: found 'zeros', expected one of normal, identity"),
        ("dae", ("--frames", "0"), "--frames: found 0, expected a positive number"),
        ("dae", ("--songs", "0"), "--songs: found 0, expected a positive number"),
        ("dae", ("--frames", "5.7"), "'5.7', expected a whole number"),
        ("dae", ("--songs", "1.5"), "'1.5', expected a whole number"),
        ("dae", ("--steps", "0"), "--steps: found 0, expected a positive number"),
        ("dae", ("--learning-rate", "nan"), "--learning-rate: found nan"),
        ("nothing", (), "not a checkpoint"),
        ("dae", ("--data", "/nowhere"), "/nowhere"),
        ("dae", ("--step", "3"), "--step"),
    ],
)
def test_refuses_in_one_line(command, tmp_path, capsys, system, more, message):
    assert command(system, *more) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [False, True])
def test_refuses_a_file_in_the_place_of_the_results(command, tmp_path, capsys, inside):
    file = tmp_path / "out"
    file.write_text("mine")
    assert command("dae", "--out", file / "inner" if inside else file) == 2
    assert f"--out {file}" in error_line(capsys)
    assert file.read_text() == "mine"


def test_refuses_weights_of_another_size_than_the_config_says(command, tmp_path, capsys):
    folder = tmp_path / "mixed"
    save_checkpoint(folder, CONFIGS["dae"], init_state(CONFIGS["dae"]))
    text = json.loads((folder / "config.json").read_text())
    text["config"]["signal"]["fft_length"] = 128
    (folder / "config.json").write_text(json.dumps(text))
    assert command("dae", "--checkpoint", folder) == 2
    assert str(folder) in error_line(capsys)


def test_refuses_weights_that_are_not_finite(command, tmp_path, capsys):
    config = CONFIGS["dae"]
    state = init_state(config)
    params = state.params | {"output": state.params["output"] | {"bias": np.full(F, np.nan, np.float32)}}
    save_checkpoint(tmp_path / "nan", config, dataclasses.replace(state, params=params))
    assert command("dae", "--checkpoint", tmp_path / "nan") == 2
    assert "found estimates that are not finite" in error_line(capsys)


def test_refuses_a_learning_rate_with_which_the_fit_diverges(command, capsys):
    assert command("mad", "--learning-rate", "1e38") == 2
    assert "--learning-rate 1e+38: found a fit that diverges" in error_line(capsys)


# Names and pictures


@pytest.mark.parametrize(
    "name", ["mad", "mad-twinnet", "mad-mingru", "dws-7-256", "dws-5-64-res-k3", "dae", "skip-filtering"]
)
def test_a_system_is_known_by_its_config(name):
    assert system_name(override(RunConfig(), fields_of(name, RunConfig()))) == name


def test_a_system_with_other_fields_has_no_name():
    assert system_name(RunConfig(masker=GruMaskerConfig(reduced_bins=10))) == "custom-gru"
    assert system_name(RunConfig(masker=DilatedConfig(blocks=9))) == "custom-dilated"


def test_cells_keep_the_largest_entry_and_its_sign():
    matrix_FF = np.array([[1, -9, 3, 0], [2, 4, -5, 0], [0, 0, 0, 7], [0, 0, -7, 1]])
    np.testing.assert_array_equal(largest_in_cells(matrix_FF, np.array([0, 2, 4])), [[-9, -5], [0, 7]])
    np.testing.assert_array_equal(largest_in_cells(matrix_FF, np.array([1, 2, 4])), [[4, -5], [0, 7]])


@pytest.mark.parametrize("matrix_FF", [np.zeros((3, 3)), np.eye(2), -1e-30 * np.eye(3)])
def test_pictures_of_matrices_with_little_in_them(matrix_FF, tmp_path):
    for axis in ("linear", "log"):
        path = save_figure(mapping_figure(matrix_FF, 10.0, "title", axis, top_of(matrix_FF)), tmp_path / f"{axis}.png")
        assert path.read_bytes().startswith(PNG)


def test_a_full_disk_is_one_line_and_leaves_nothing_half(command, tmp_path, capsys, monkeypatch):
    def fill(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", fill)
    assert command("dae", "--steps", "1", "--frames", "1") == 2
    place = tmp_path / "out" / "couplings.npz"
    assert f"{place}: No space left on device" in error_line(capsys)
    assert list((tmp_path / "out").iterdir()) == []
