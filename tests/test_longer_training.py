"""A training that was finished after fewer steps goes on. Oracle: one that was trained in one go, bit for bit."""

import json

import jax
import numpy as np
import pytest

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile", "matplotlib"):
    pytest.importorskip(package)

from logged import without_measured
from small_ablation import error_line
from tiny_songs import make_songs
from watched import EPOCH, Scripted, config, train

from experiments import ablation
from experiments.rows.identity import check_identity
from experiments.training.log import read_log
from madsep_jax.checkpoint.folder import restore_state
from madsep_jax.config.io import override, to_flat
from madsep_jax.config.presets import preset_config
from madsep_jax.errors import InputError
from madsep_jax.train.step import init_state

SCHEDULES = {
    "constant": {},
    "warm": {"training.schedule.warmup_steps": 7},
    "step": {"training.schedule.kind": "step", "training.schedule.step_every": 4},
}


def assert_same(folder, other, run):
    """Logs, and all of the last state."""
    assert without_measured(read_log(folder, "train")) == without_measured(read_log(other, "train"))
    found, expected = (restore_state(row / "checkpoint", init_state(run)) for row in (folder, other))
    assert int(found.step) == int(expected.step)
    jax.tree.map(
        np.testing.assert_array_equal, (found.variables, found.opt_state), (expected.variables, expected.opt_state)
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_comes_to_the_same_state(tmp_path, schedule):
    """From the middle of an epoch on; the scores of the shorter training go, which are of other weights."""
    short, long = (config(**SCHEDULES[schedule], **{"training.steps": steps}) for steps in (8, 14))
    said = []
    train(tmp_path / "row", short)
    (tmp_path / "row" / "scores").mkdir()
    result = train(tmp_path / "row", long, say=said.append)
    assert result.steps == 14
    assert said == ["row: goes on from step 8 of 14"]
    assert not (tmp_path / "row" / "scores").exists()
    train(tmp_path / "once", long)
    assert_same(tmp_path / "row", tmp_path / "once", long)
    assert train(tmp_path / "row", long) == result


def test_a_shorter_one_is_refused(tmp_path):
    train(tmp_path / "row", config(**{"training.steps": 8}))
    with pytest.raises(InputError, match="row: has been trained for 8 steps, expected at most 5; choose another --out"):
        train(tmp_path / "row", config(**{"training.steps": 5}))
    assert json.loads((tmp_path / "row" / "training.json").read_text())["steps"] == 8


def test_one_that_stopped_early_has_ended_for_good(tmp_path):
    run = override(config(), {"training.early_stopping.patience": 1})
    result = train(tmp_path, run, validation=Scripted(1, 1, 0, 0))
    assert (result.steps, result.stopped_early) == (2 * EPOCH, True)
    assert train(tmp_path, override(run, {"training.epochs": 9}), validation=None) == result


def identity(**changes):
    return {"data": "songs", **to_flat(override(preset_config("quick"), changes))}


COSINE = {"training.schedule.kind": "cosine"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"training.steps": 20}, {"training.steps": 40}),
        ({"training.steps": None, "training.epochs": 1}, {"training.steps": None, "training.epochs": 2}),
        (
            {"training.steps": 20, **COSINE, "training.schedule.steps": 40},
            {"training.steps": 40, **COSINE, "training.schedule.steps": 40},
        ),
        ({}, {}),
    ],
)
def test_what_goes_on(tmp_path, found, expected):
    check_identity(tmp_path / "experiment.json", {"identity": identity(**found)}, identity(**expected))


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ({"training.steps": 40}, {"training.steps": 20}, "training.steps 40, expected 20; choose"),
        ({"training.steps": None}, {"training.steps": 20}, "training.steps None, expected 20; choose"),
        ({"training.steps": 20}, {"training.steps": None}, "training.steps 20, expected None; choose"),
        (
            {"training.steps": 20, **COSINE},
            {"training.steps": 40, **COSINE},
            "training.steps 20, expected 40 (its cosine schedule has ended there, and cannot go on as if it had not); ",
        ),
        (
            {"training.steps": 20, "loss.denoiser_l2": 1.0},
            {"training.steps": 40},
            "loss.denoiser_l2 1.0, expected 0.0001 (and 1 more differences); choose",
        ),
    ],
)
def test_what_does_not_go_on(tmp_path, found, expected, message):
    with pytest.raises(InputError) as caught:
        check_identity(tmp_path / "out" / "experiment.json", {"identity": identity(**found)}, identity(**expected))
    assert str(caught.value).startswith(f"--out {tmp_path / 'out'}: holds another experiment, with ")
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    make_songs(folder / "songs", train=2, test=1)

    def run(out, *more, systems=("dae",), songs=folder / "songs"):
        arguments = ["--data", str(songs), "--cache", str(folder / "cache"), "--out", str(out), *more]
        arguments += [
            "--systems",
            *systems,
            "--seeds",
            "1",
            "--batch",
            "2",
            "--processes",
            "1",
            "--set",
            "signal.sample_rate=8000",
        ]
        return ablation.main([*arguments, "signal.window_length=257", "signal.hop_length=48", "signal.fft_length=512"])

    return run


def rows(out):
    return {row["system"]: row for row in json.loads((out / "results.json").read_text())["rows"]}


@pytest.mark.thorough
def test_the_command_goes_on_and_scores_anew(run, tmp_path, capsys):
    """More steps in the folder of fewer: rows and scores are those of a folder of its own; others are named."""
    out, once = tmp_path / "out", tmp_path / "once"
    assert run(out, "--steps", "2", systems=("dae", "skip-filtering")) == 0
    before = rows(out)["dae"]["scores"]
    assert run(out, "--steps", "5") == 0
    assert "dae-seed0: goes on from step 2 of 5" in capsys.readouterr().out
    assert run(once, "--steps", "5") == 0
    found, expected = rows(out)["dae"], rows(once)["dae"]
    assert found["steps"] == 5
    assert found["scores"] == expected["scores"] != before
    assert found["config"] == expected["config"]
    text = (out / "table.md").read_text()
    assert "5 steps of 2 sequences" in text
    assert "Trained before for fewer steps: skip-filtering, seed 0: 2." in text
    content = (out / "experiment.json").read_text()
    assert run(out, "--steps", "2") == 2
    assert "with training.steps 5, expected 2; choose another folder" in error_line(capsys)
    assert (out / "experiment.json").read_text() == content


def test_early_stopping_by_songs_without_a_voice_is_refused(run, tmp_path, capsys):
    import soundfile

    songs = make_songs(tmp_path / "songs", train=2, test=1)
    last = sorted((songs / "Sources" / "Dev").iterdir())[-1]
    parts = {stem: soundfile.read(last / f"{stem}.wav")[0] for stem in ("vocals", "drums", "bass", "other")}
    soundfile.write(last / "vocals.wav", np.zeros_like(parts.pop("vocals")), 8000, subtype="FLOAT")
    mixture = songs / "Mixtures" / "Dev" / last.name / "mixture.wav"
    soundfile.write(mixture, sum(parts.values()), 8000, subtype="FLOAT")
    more = ("--steps", "2", "--validation-loss", "--validation-songs", "1")
    assert run(tmp_path / "out", *more, "--early-stopping-patience", "2", songs=songs) == 2
    line = error_line(capsys)
    assert f"--early-stopping-patience: found no voice in the validation songs ({last.name})" in line
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "out", *more, "--dry-run", songs=songs) == 0  # a loss alone is as good as any
