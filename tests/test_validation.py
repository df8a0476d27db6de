"""Validation during training: held-out songs, scores after an epoch, the same again after an interruption."""

import importlib.util
import json
import shutil

import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tabulate", "tensorboardX", "matplotlib", "tensorflow"):
    pytest.importorskip(package)
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

import numpy as np  # noqa: E402
from small_ablation import error_line  # noqa: E402
from tiny_songs import make_songs  # noqa: E402

from data_pipelines.layouts import find_tracks  # noqa: E402
from experiments import ablation, train_row  # noqa: E402
from experiments.score_row import checkpoint_estimator  # noqa: E402
from experiments.scoring.score_song import score_song  # noqa: E402
from experiments.songs import load_songs  # noqa: E402

SMALL = ["--set", "signal.sample_rate=8000", "signal.window_length=257", "signal.hop_length=48"]
SMALL += ["signal.fft_length=512", "--systems", "skip-filtering", "--epochs", "2", "--batch", "2", "--processes", "1"]
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
    assert run(out, "--validate-every", "1", "--validation-songs", "1") == 0
    return out


def validations(out):
    lines = (out / "rows" / ROW / "validation.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def test_each_epoch_is_scored_on_a_song_that_was_not_trained_on(first, songs):
    """The last scores are those of the checkpoint, by museval."""
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
    [row] = [
        row for row in json.loads((first / "results.json").read_text())["rows"] if row["system"] == "skip-filtering"
    ]
    assert [line["SDR"] for line in row["validation"]] == [line["SDR"] for line in found]
    assert "2 training songs" in (first / "table.md").read_text()
    assert "1 validation songs" in (first / "table.md").read_text()


def test_interrupted_between_two_validations_it_continues_to_the_same_scores(run, first, tmp_path, monkeypatch):
    out = shutil.copytree(first, tmp_path / "out")
    shutil.rmtree(out / "rows" / ROW)
    arguments = ("--validate-every", "1", "--validation-songs", "1")
    steps = validations(first)[-1]["step"]
    reporter = ablation.step_reporter

    def interrupted(bar, batch_size):
        report = reporter(bar, batch_size)

        def on_step(number, metrics):
            report(number, metrics)
            if number == steps - 1:
                raise KeyboardInterrupt

        return on_step

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "step_reporter", interrupted)
        assert run(out, *arguments) == 130
    assert validations(out) == validations(first)[:1]
    assert run(out, *arguments) == 0
    assert validations(out) == validations(first)


def test_validation_is_not_logged_without_the_option(run, tmp_path, monkeypatch):
    monkeypatch.setattr(train_row, "_SAVE_EVERY_S", 0.0)  # saving alone is no reason
    assert run(tmp_path / "out") == 0
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
        (("--validate-every", "1", "--validation-songs", "3"), "--validation-songs 3: found 3 training songs"),
    ],
)
def test_bad_options_are_named(run, tmp_path, capsys, arguments, message):
    assert run(tmp_path / "out", *arguments) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()
