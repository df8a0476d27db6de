"""Bad input of the ablation: one line that names it, exit code 2, and nothing written."""

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib"):
    pytest.importorskip(package)

from small_ablation import SMALL, error_line, run_small
from tiny_songs import RATE, make_songs

from experiments.ablation import main
from experiments.data.songs import load_songs
from experiments.rows.folder import ExperimentFolder
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config

#: The arguments, and what the one line must hold.
BAD_OPTIONS = [
    (["--sytems", "mad"], ["--sytems", "--systems"]),
    (["--epoch", "1"], ["--epoch", "--epochs"]),
    (["-z"], ["-z", "--preset", "--systems"]),
    (["mad"], ["'mad'", "options only"]),
    (["--seeds", "many"], ["--seeds", "'many'", "whole number"]),
    (["--seeds"], ["--seeds", "requires an argument"]),
    (["--no-dry-run"], ["--no-dry-run", "--dry-run"]),
    (["--preset", "quik"], ["preset 'quik'", "did you mean 'quick'?"]),
    (["--preset", "large"], ["preset 'large'", "expected one of: paper, quick"]),
    (["--systems", "mda"], ["system 'mda'", "did you mean 'mad'?"]),
    (["--systems", "mad", "dws-5"], ["system 'dws-5'", "dws-5-64: 5 layers, 64 channels"]),
    (["--systems", "dws-3-0"], ["DwsMaskerConfig.channels: found 0, expected 1 to 65536 channels"]),
    (["--systems", "dws", "--layers", "-1"], ["'dws--1-64'", "dws-L-C"]),
    (["--systems", "dws", "--layers", "5.7"], ["--layers", "'5.7'", "whole number"]),
    (["--systems", "dws", "--channels", "64", "1e3"], ["--channels: found '1e3', expected a whole number"]),
    (["--systems"], ["--systems", "requires at least 1"]),
    (["--layers", "--seeds", "2"], ["--layers", "requires at least 1"]),
    (["--only-rows"], ["--only-rows", "requires at least 1"]),
    (["--warmup-steps", "300"], ["ScheduleConfig.warmup_steps: found 300, expected less than the training's 300"]),
    (["--schedule", "step", "--warmup-steps", "999"], ["warmup_steps: found 999, expected less than the training's"]),
    (["--early-stopping-metric", "loss"], ["--early-stopping-metric: found no --early-stopping-patience"]),
    (["--early-stopping-min-delta", "1"], ["--early-stopping-min-delta: found no --early-stopping-patience"]),
    (["--set", "training.early_stopping.min_delta=1"], ["-min-delta: found no --early-stopping-patience"]),
    (["--set", "training.early_stopping.patience=3"], ["--early-stopping-patience: found no --validation-loss"]),
    (["--start-from", "/nowhere"], ["/nowhere: no such file or folder"]),
    (["--start-from", "/"], ["/: not a checkpoint, expected a folder with config.json and weights"]),
    (["--epochs", "1", "--steps", "2"], ["--epochs and --steps: found both, expected one of them"]),
    (["--seeds", "0"], ["--seeds: found 0, expected at least 1"]),
    (["--processes", "-1"], ["--processes: found -1, expected at least 1"]),
    (["--steps", "0"], ["--steps: found 0, expected a positive number"]),
    (["--epochs", "-2"], ["--epochs: found -2, expected a positive number"]),
    (["--batch", "0"], ["--batch: found 0, expected a positive number"]),
    (["--batch", "100000"], ["training songs: found ", "expected at least one batch of 100000"]),
    (["--accumulate", "3"], ["TrainingConfig.accumulation: found 3, expected a divisor of the batch size"]),
    (["--devices", "99"], ["ParallelConfig.devices: found 99, expected at most the"]),
    (["--steps-per-call", "0"], ["--steps-per-call: found 0, expected a positive number of steps"]),
    (["--parallel", "pmap", "--parameters", "sharded"], ["ParallelConfig.parameters: found 'sharded'", "pmap"]),
    (["--save-every", "-1"], ["--save-every: found -1.0, expected 0 or more seconds"]),
    (["--save-every-steps", "0"], ["--save-every-steps: found 0, expected a positive number of steps"]),
    (["--keep-every", "0"], ["--keep-every: found 0, expected a positive number of steps"]),
    (["--coordinator", "localhost:1"], ["--coordinator, --process-count and --process-id", "all three or none"]),
    (["--jobs", "2"], ["--jobs: expected together with --launcher local or slurm"]),
    (["--launcher", "local", "--partition", "gpu"], ["--partition: expected together with --launcher slurm"]),
    (["--launcher", "sge"], ["--launcher", "sge", "local"]),
    (["--launcher", "slurm", "--slurm", "output=x"], ["--slurm output=x: expected NAME=VALUE, not one of error"]),
    (["--launcher", "local", "--distributed"], ["--distributed and --launcher: found both, expected one"]),
    (["--launcher", "local", "--batch-per-device"], ["--batch-per-device and --launcher: found both", "--batch"]),
    (["--seeds", "1", "--only-rows", "mad-seed1"], ["--only-rows mad-seed1: no such row", "did you mean 'mad-seed0'?"]),
    (["--precision", "float16"], ["--precision", "float16", "bfloat16"]),
    (["--set", "training.learning_rat=1"], ["TrainingConfig", "'learning_rat'", "did you mean 'learning_rate'?"]),
    (["--set", "trainin.seed=1"], ["RunConfig", "'trainin.seed'", "did you mean 'training'?"]),
    (["--set", "training.batch_size=many"], ["TrainingConfig.batch_size: found 'many', expected int"]),
    (["--set", "training.learning_rate=fast"], ["TrainingConfig.learning_rate: found 'fast', expected float"]),
    (["--set", "training.learning_rate=NaN"], ["TrainingConfig.learning_rate: found nan, expected a positive number"]),
    (["--set", "signal.hop_length=96.5"], ["SignalConfig.hop_length: found 96.5, expected int"]),
    (["--set", "signal.fft_length=true"], ["SignalConfig.fft_length: found True, expected"]),
    (["--set", "signal.hop_length=1"], ["SignalConfig.window_length: found 513, expected more than 3 and at most 6"]),
    (["--set", "signal=3"], ["RunConfig.signal: found 3, expected an object"]),
    (["--set", "loss.target=magnitud"], ["LossConfig.target: found 'magnitud'", "'magnitude'"]),
    (["--set", "training.learning_rate"], ["--set training.learning_rate: expected NAME=VALUE"]),
    (["--set", "=3"], ["RunConfig: unknown field ''"]),
    (["--set", "masker.kernel=3"], ["--set masker.kernel=3: is decided by --systems"]),
    (["--set", "training.seed=3"], ["--set training.seed=3: is decided by", "--seeds"]),
]


def tree(folder):
    """All that is there: folders, and files with their content."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"))


@pytest.mark.parametrize(("arguments", "parts"), BAD_OPTIONS, ids=lambda value: " ".join(value)[:40])
def test_bad_options(tmp_path, monkeypatch, capsys, arguments, parts):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--dry-run", "--cache", str(tmp_path / "cache")]) == 2
    line = error_line(capsys)
    for part in parts:
        assert part in line
    assert not any(tmp_path.iterdir())


def test_dry_run_writes_nothing(tmp_path, songs, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--data", str(songs), "--cache", str(tmp_path / "cache"), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "dws-1-4-seed0" in out
    assert "2 training songs" in out
    assert err == ""
    assert not any(tmp_path.iterdir())


def test_out_is_a_file(tmp_path, songs, capsys):
    (tmp_path / "out").write_text("mine")
    assert run_small(tmp_path, songs, tmp_path / "out") == 2
    assert f"--out {tmp_path}/out: found a file, expected a folder" in error_line(capsys)
    assert tree(tmp_path) == {tmp_path / "out": b"mine"}


def test_out_is_within_a_file(tmp_path, songs, capsys):
    (tmp_path / "file").write_text("mine")
    assert run_small(tmp_path, songs, tmp_path / "file" / "out") == 2
    assert f"--out {tmp_path}/file/out: " in error_line(capsys)
    assert (tmp_path / "file").read_text() == "mine"


def test_out_holds_other_files(tmp_path, songs, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    before = tree(tmp_path)
    assert run_small(tmp_path, songs, tmp_path / "out") == 2
    assert f"--out {tmp_path}/out: found other files, expected an empty folder" in error_line(capsys)
    assert tree(tmp_path) == before


def make_experiment(out, change=None, data=None):
    """Make the folder of an experiment of the small options, with a field of its base changed."""
    base = override(preset_config("quick"), {**SMALL_BASE, **(change or {})})
    ExperimentFolder.find(out, base, data or "other").create()


SMALL_BASE = {
    "signal.sample_rate": 8000,
    "signal.window_length": 257,
    "signal.hop_length": 48,
    "signal.fft_length": 512,
    "training.batch_size": 2,
    "training.steps": 1,
}


@pytest.mark.parametrize(
    ("change", "same_songs", "expected"),
    [
        ({"training.steps": 7}, True, "with training.steps 7, expected 1; choose"),
        (
            {"training.steps": 7, "loss.denoiser_l2": 0.5},
            True,
            "with loss.denoiser_l2 0.5, expected 0.0001 (and 1 more",
        ),
        ({}, False, "with other songs; choose"),
    ],
)
def test_out_holds_another_experiment(tmp_path, songs, capsys, change, same_songs, expected):
    out = tmp_path / "out"
    make_experiment(out, change, load_songs(str(songs), RATE).fingerprint() if same_songs else None)
    before = tree(tmp_path)
    assert run_small(tmp_path, songs, out) == 2
    line = error_line(capsys)
    assert f"--out {out}: holds another experiment, " in line
    assert expected in line
    assert tree(tmp_path) == before


def test_out_holds_a_damaged_experiment(tmp_path, songs, capsys):
    out = tmp_path / "out"
    out.mkdir()
    for text, expected in (("{", "cannot be read as JSON"), ("[]", "is damaged"), ('{"identity": 3}', "is damaged")):
        (out / "experiment.json").write_text(text)
        assert run_small(tmp_path, songs, out) == 2
        line = error_line(capsys)
        assert f"{out}/experiment.json: " in line
        assert expected in line
        assert tree(tmp_path) == {out: None, out / "experiment.json": text.encode()}
