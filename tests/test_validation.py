"""Validation during training: held-out songs, scores after an epoch, the same again after an interruption."""

import importlib.util
import json
import shutil

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib", "tensorflow"):
    pytest.importorskip(package)
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

import numpy as np
from small_ablation import error_line
from tiny_songs import make_songs

from data_pipelines.batches.sources import SongSpectrograms, held_out_batches
from data_pipelines.songs.layouts import find_tracks
from data_pipelines.songs.spectrograms import load_features
from experiments import ablation
from experiments.data.songs import load_songs
from experiments.rows import run_row
from experiments.scoring.estimators import checkpoint_estimator
from experiments.scoring.score_song import score_song
from madsep_jax.checkpoint.folder import load_config, load_model
from madsep_jax.train.losses import validation_loss

SMALL = ["--set", "signal.sample_rate=8000", "signal.window_length=257", "signal.hop_length=48"]
SMALL += [
    "signal.fft_length=512",
    "--seeds",
    "1",
    "--systems",
    "skip-filtering",
    "--epochs",
    "2",
    "--batch",
    "2",
    "--processes",
    "1",
]
ROW = "skip-filtering-seed0"


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"), train=3, test=1)


@pytest.fixture(scope="module")
def run(songs, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def run(out, *arguments):
        return ablation.main([*SMALL, "--data", str(songs), "--cache", str(cache), "--out", str(out), *arguments])

    return run


@pytest.fixture(scope="module")
def first(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("first") / "out"
    assert run(out, *BOTH) == 0
    return out


STOPPING = ("--early-stopping-patience", "2")
#: With the loss after each epoch, and scores as often.
BOTH = ("--validation-loss", "--validate-every", "1", "--validation-songs", "1")


def validations(out):
    lines = (out / "rows" / ROW / "validation.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def test_each_epoch_is_scored_on_a_song_that_was_not_trained_on(first, songs, tmp_path):
    """The last loss and scores are those of the checkpoint, the scores by museval."""
    steps = json.loads((first / "rows" / ROW / "training.json").read_text())["steps"]
    found = validations(first)
    assert [line["step"] for line in found] == [steps // 2, steps]
    held_out = [track for track in find_tracks(songs) if track.split == "train"][-1]
    audio = held_out.read()
    estimates = checkpoint_estimator(first / "rows" / ROW / "checkpoint")[0](audio)
    expected = score_song(
        "s", audio.mixture_NC, audio.voice_NC, estimates.voice_NC, audio.sample_rate, engine="museval"
    ).targets["vocals"]
    for metric, values_W in expected.items():
        assert abs(found[-1][metric] - np.median(values_W)) < 1e-3
    features = load_features([held_out], load_config(first / "rows" / ROW / "checkpoint").signal, tmp_path)
    config, variables = load_model(first / "rows" / ROW / "checkpoint")
    batches = held_out_batches(SongSpectrograms(features, config.sequences), config.sequences, 1)
    assert found[-1]["loss"] == pytest.approx(validation_loss(config, variables, batches)["loss"], rel=1e-5)
    [row] = [
        row for row in json.loads((first / "results.json").read_text())["rows"] if row["system"] == "skip-filtering"
    ]
    for name in ("step", "loss", "SDR"):
        assert [line[name] for line in row["validation"]] == [line[name] for line in found]
    assert "2 training songs" in (first / "table.md").read_text()
    assert "1 validation songs" in (first / "table.md").read_text()


def test_interrupted_between_two_validations_it_continues_to_the_same_scores(run, first, tmp_path, monkeypatch):
    out = shutil.copytree(first, tmp_path / "out")
    shutil.rmtree(out / "rows" / ROW)
    steps = validations(first)[-1]["step"]
    reporter = run_row.step_reporter

    def interrupted(work):
        report = reporter(work)

        def on_step(number, metrics):
            report(number, metrics)
            if number == steps - 1:
                raise KeyboardInterrupt

        return on_step

    with monkeypatch.context() as patch:
        patch.setattr(run_row, "step_reporter", interrupted)
        assert run(out, *BOTH) == 130
    assert validations(out) == validations(first)[:1]
    assert run(out, *BOTH) == 0
    assert validations(out) == validations(first)


@pytest.mark.thorough
def test_validation_is_not_logged_without_the_option(run, tmp_path):
    assert run(tmp_path / "out", "--save-every", "0") == 0  # saving alone is no reason
    assert not (tmp_path / "out" / "rows" / ROW / "validation.jsonl").exists()


def test_held_out_songs_are_another_experiment(run, first, songs, capsys):
    assert len(load_songs(str(songs), 8000, validation_songs=2).train) == 1
    assert run(first, "--validate-every", "1") == 2
    assert "holds another experiment, with other songs" in error_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--validate-every", "0"), "--validate-every: found 0, expected at least 1"),
        (("--validate-every", "1", "--validation-songs", "0"), "--validation-songs: found 0, expected at least 1"),
        (("--validation-loss", "--validation-songs", "3"), "--validation-songs 3: found 3 training songs"),
        (
            ("--early-stopping-patience", "0"),
            "--early-stopping-patience: found 0, expected a positive number of validations",
        ),
        (STOPPING, "--early-stopping-patience: found no --validation-loss, which finds"),
        (
            ("--validation-loss", "--early-stopping-patience", "2", "--early-stopping-min-delta=-1"),
            "--early-stopping-min-delta: found -1",
        ),
        (("--schedule", "cosin"), "--schedule"),
        (("--schedule", "exponential"), "ScheduleConfig.final_learning_rate: found 0.0, expected more than 0"),
        (
            ("--schedule", "cosine", "--warmup-steps", "999"),
            "expected more than the 999 of the warm-up",
        ),
        (("--profile", "0"), "--profile: found 0, expected at least 1"),
        (("--validate-every", "1", "--validation-songs", "3"), "--validation-songs 3: found 3 training songs"),
    ],
)
def test_bad_options_are_named(run, tmp_path, capsys, arguments, message):
    assert run(tmp_path / "out", *arguments) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_schedule_runs_over_each_row_s_own_training(run, tmp_path):
    """Given epochs, the cosine ends with the last step of the row, whose steps depend on its sequences."""
    out, options = tmp_path / "out", ("--schedule", "cosine", "--warmup-steps", "2", "--final-learning-rate", "0.00001")
    assert run(out, *options) == 0
    lines = [json.loads(line) for line in (out / "rows" / ROW / "train.jsonl").read_text().splitlines()]
    share = (np.arange(len(lines)) - 2) / (len(lines) - 2)
    expected = 1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi * share)) / 2  # from the preset's rate
    expected[:2] = 1e-3 * np.arange(1, 3) / 3
    np.testing.assert_allclose([line["learning_rate"] for line in lines], expected, rtol=1e-5)
    schedule = load_config(out / "rows" / ROW / "checkpoint").training.schedule
    assert (schedule.kind, schedule.steps) == ("cosine", len(lines))


def test_an_early_end_is_in_the_table(run, tmp_path):
    """With a delta that no loss improves by, the first validation is the best."""
    out, options = tmp_path / "out", ("--set", "training.epochs=4", "--validation-songs", "1", "--validation-loss")
    stopping = ("--early-stopping-patience", "1", "--early-stopping-min-delta", "1e6")
    assert run(out, *options, *stopping) == 0
    (row,) = [one for one in json.loads((out / "results.json").read_text())["rows"] if one["config"]]
    steps = [line["step"] for line in validations(out)]
    assert len(steps) == 2
    assert (row["stopped_early"], row["steps"], row["status"]) == (True, steps[-1], "done")
    assert f"Stopped early, after steps: skip-filtering, seed 0: {steps[-1]:,}." in (out / "table.md").read_text()
    assert "SDR" not in row["validation"][0]
