"""The whole ablation, small: three steps of two systems on songs of two seconds."""

import csv
import importlib.util
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts", "tensorboardX", "matplotlib", "tensorflow"):
    pytest.importorskip(package)
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from logged import trained
from tiny_songs import make_songs

from data_pipelines.songs.layouts import find_tracks
from experiments import ablation
from experiments.rows import run_row
from experiments.rows.row import PlannedRow
from experiments.scoring.aggregate import aggregate
from experiments.scoring.score_song import score_song
from experiments.training import loop
from experiments.training.loop import train
from madsep_jax import separate
from madsep_jax.checkpoint.folder import load_level, load_model
from madsep_jax.config.presets import preset_config
from madsep_jax.parallel.layout import compile_layout
from madsep_jax.signal.level import How

REFERENCES = ["mixture", "ideal ratio mask"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    make_songs(folder / "songs")
    return folder


@pytest.fixture(scope="module")
def songs(folder):
    return find_tracks(folder / "songs")


@pytest.fixture(scope="module")
def run(folder):
    """Run the command on the same songs and cache; returns its exit code."""

    def run(out, *systems, steps=3, learning_rate=0.001, more=()):
        arguments = ["--data", str(folder / "songs"), "--cache", str(folder / "cache"), "--out", str(out)]
        arguments += ["--systems", *systems, "--steps", str(steps), "--batch", "2", "--processes", "1", *more, "--set"]
        arguments += ["signal.sample_rate=8000", "signal.window_length=257", "signal.hop_length=48"]
        arguments += ["signal.fft_length=512", f"training.learning_rate={learning_rate}"]
        return ablation.main([*arguments, *([] if "--seeds" in more else ["--seeds", "1"])])

    return run


@pytest.fixture(scope="module")
def first(run, tmp_path_factory):
    """A finished experiment, to be copied before it is changed."""
    out = tmp_path_factory.mktemp("first") / "out"
    assert run(out, "mad", "dws-1-4") == 0
    return out


def rows(out):
    """The rows of results.json by their name."""
    return {row["system"]: row for row in json.loads((out / "results.json").read_text())["rows"]}


def steps(out, row):
    return [json.loads(line)["step"] for line in (out / "rows" / row / "train.jsonl").read_text().splitlines()]


def files(folder):
    """When each file was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_there_is_a_page_that_plays_the_songs(first):
    """Of each song: the mixture, two true sources, and both that each of three rows makes of it."""
    text = (first / "report.html").read_text(encoding="utf-8")
    assert text.count("<audio ") == 2 * (3 + 3 * 2)
    assert sorted(path.parent.name for path in first.glob("rows/mad-seed0/excerpts/*/vocals.ogg")) == sorted(
        path.parent.name for path in first.glob("excerpts/*/mixture.ogg")
    )


def test_results_are_there_in_order(first):
    assert list(rows(first)) == [*REFERENCES, "mad", "dws-1-4"]
    with (first / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["system"] for row in table] == [*REFERENCES, "mad", "dws-1-4"]
    assert [row["seed"] for row in table] == ["", "", "0", "0"]
    assert {row["status"] for row in table} == {"done"}
    for row in table:
        assert all(row[f"voice_{metric}_db"] for metric in ("sdr", "sir", "sar", "isr"))
    for row in table[2:]:
        for name in ("masker_parameters", "gflop_per_audio_second", "train_step_ms", "compile_s", "real_time_factor"):
            assert float(row[name]) > 0
    sdr_db = {row["system"]: float(row["voice_sdr_db"]) for row in table}
    assert sdr_db["ideal ratio mask"] > max(sdr_db[name] for name in ("mixture", "mad", "dws-1-4")) + 3
    markdown = (first / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in markdown[2:6]] == [*REFERENCES, "mad", "dws-1-4"]
    assert any("3 steps of 2 sequences" in line for line in markdown)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in first.glob("*.png"))
    assert len(list(first.glob("*.png"))) == 3


def test_each_row_keeps_its_training(first):
    for name in ("mad-seed0", "dws-1-4-seed0"):
        folder = first / "rows" / name
        assert steps(first, name) == [1, 2, 3]
        assert (folder / "checkpoint" / "config.json").is_file()
        assert [path.name for path in (folder / "checkpoint").iterdir() if path.is_dir()] == ["3"]
        assert any((folder / "tensorboard").iterdir())
        assert len(list((folder / "scores").iterdir())) == 2


def test_again_it_trains_and_scores_nothing(run, first, monkeypatch):
    before = files(first / "rows")
    monkeypatch.setattr(run_row, "run_row", None)  # is not to be called
    assert run(first, "mad", "dws-1-4") == 0
    assert files(first / "rows") == before
    assert list(rows(first)) == [*REFERENCES, "mad", "dws-1-4"]


def test_an_experiment_of_before_a_field_was_there_is_the_same(run, first, tmp_path, monkeypatch):
    out = shutil.copytree(first, tmp_path / "out")
    for path in [out / "experiment.json", *(out / "rows").glob("*/row.json")]:
        content = json.loads(path.read_text())
        for part in (content.get("identity"), content.get("config")):
            for name in [name for name in part or () if name.startswith("separation")]:
                del part[name]
        path.write_text(json.dumps(content))
    monkeypatch.setattr(run_row, "run_row", None)  # is not to be called
    assert run(out, "mad", "dws-1-4") == 0
    assert run(out, "mad", more=["--mask-limit", "1"]) == 2


@pytest.mark.thorough
def test_songs_are_separated_as_the_configuration_says(run, first, tmp_path, songs):
    """The same training; the scores are those of the estimates by hand, limited and at the stored level."""
    out = tmp_path / "out"
    assert run(out, "dws-1-4", more=["--mask-limit", "0.0001", "--level", "training"]) == 0
    folder = out / "rows" / "dws-1-4-seed0" / "checkpoint"
    (config, variables), level = load_model(folder), load_level(folder)
    rms = [np.sqrt(np.mean(track.read().mixture_NC.mean(axis=1) ** 2)) for track in songs if track.split == "train"]
    assert level == pytest.approx(np.sqrt(np.mean(np.square(rms))), rel=0.01)
    scores = []
    for track in (track for track in songs if track.split == "test"):
        audio = track.read()
        how = How(mask_limit=0.0001, gain=level / np.sqrt(np.mean(audio.mixture_NC.mean(axis=1, dtype=float) ** 2)))
        voice_NC = separate(config, variables, audio.mixture_NC, audio.sample_rate, how=how).voice_NC
        scores.append(score_song(track.name, audio.mixture_NC, audio.voice_NC, voice_NC, audio.sample_rate))
    expected = aggregate(scores).targets["vocals"].score_db
    found, published = (rows(folder)["dws-1-4"]["scores"]["targets"]["vocals"]["score_db"] for folder in (out, first))
    assert found == pytest.approx(expected, abs=1e-3)
    assert abs(found["SAR"] - published["SAR"]) > 0.1
    before = jax.tree.leaves(load_model(first / "rows" / "dws-1-4-seed0" / "checkpoint")[1])
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.leaves(variables))
    assert "by masks of at most 0.0001, at the level that the training had." in (out / "table.md").read_text()
    assert "separated as published" in (first / "table.md").read_text()


@pytest.mark.thorough
def test_added_system_is_run_alone(run, first, tmp_path, monkeypatch):
    out = shutil.copytree(first, tmp_path / "out")
    before = files(out / "rows")
    ran = []

    def noted(row, *rest):
        ran.append(row.folder_name)
        return done_row(row, *rest)

    done_row = run_row.run_row
    monkeypatch.setattr(run_row, "run_row", noted)
    assert run(out, "dws-0-2", "mad") == 0
    assert ran == ["dws-0-2-seed0"]
    assert list(rows(out)) == [*REFERENCES, "mad", "dws-0-2", "dws-1-4"]  # whatever command asks
    after = files(out / "rows")
    assert {path: time for path, time in after.items() if path in before} == before


def interrupted_after(step):
    """A step reporter that is interrupted, as by Ctrl-C, after a step."""
    reporter = run_row.step_reporter

    def interrupted(work):
        report = reporter(work)

        def on_step(number, metrics):
            report(number, metrics)
            if number == step:
                raise KeyboardInterrupt

        return on_step

    return interrupted


@pytest.mark.thorough
def test_interrupted_training_continues_to_the_same_result(run, first, tmp_path, monkeypatch, capsys):
    """Same seed, another folder, where the training is interrupted after its first step is saved."""
    out = shutil.copytree(first, tmp_path / "out")
    shutil.rmtree(out / "rows" / "dws-1-4-seed0")
    with monkeypatch.context() as patch:
        patch.setattr(run_row, "step_reporter", interrupted_after(2))
        assert run(out, "dws-1-4", more=["--save-every", "0"]) == 130
    assert "ablation: interrupted; start the same command again to continue\n" in capsys.readouterr().err
    row = out / "rows" / "dws-1-4-seed0"
    assert steps(out, row.name) == [1, 2]
    assert [path.name for path in (row / "checkpoint").iterdir() if path.is_dir()] == ["1"]
    assert not (row / "training.json").exists()
    assert list(rows(out)) == [*REFERENCES, "mad"]
    assert run(out, "dws-1-4") == 0
    assert steps(out, row.name) == [1, 2, 3]
    again, before = rows(out), rows(first)
    for name in (*REFERENCES, "dws-1-4"):
        assert again[name]["scores"] == before[name]["scores"]
    log = [trained(place / "rows" / row.name) for place in (out, first)]
    assert log[0] == log[1]


def test_sigterm_saves_the_training_and_scores_nothing(run, first, tmp_path, monkeypatch, capsys):
    """Exit code 0, one line, no result of the row; started again it comes to the same scores."""
    out = shutil.copytree(first, tmp_path / "out")
    shutil.rmtree(out / "rows" / "mad-seed0")
    reporter = run_row.step_reporter

    def terminated(work):
        report = reporter(work)

        def on_step(number, metrics):
            report(number, metrics)
            if number == 1:
                os.kill(os.getpid(), signal.SIGTERM)

        return on_step

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(run_row, "step_reporter", terminated)
        assert run(out, "mad", more=["--save-every-steps", "1"]) == 0
    assert signal.getsignal(signal.SIGTERM) == before
    row = out / "rows" / "mad-seed0"
    assert [path.name for path in (row / "checkpoint").iterdir() if path.is_dir()] == ["1"]
    assert steps(out, row.name) == [1]
    line = "ablation: stopped, step 1 of 3 is saved; start the same command again to continue\n"
    assert capsys.readouterr().err.endswith(line)
    assert sorted(path.name for path in row.iterdir()) == ["checkpoint", "lock", "tensorboard", "train.jsonl"]
    assert run(out, "mad") == 0
    assert steps(out, row.name) == [1, 2, 3]
    assert rows(out)["mad"]["scores"] == rows(first)["mad"]["scores"]


@pytest.mark.thorough
def test_diverged_rows_are_marked_and_the_next_one_runs(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(out, "dws-0-2", "dws-0-1", steps=4, learning_rate=1e38) == 1  # as all of them have failed
    found = rows(out)
    assert list(found) == [*REFERENCES, "dws-0-1", "dws-0-2"]
    for name in ("dws-0-2", "dws-0-1"):
        assert found[name]["status"].startswith("failed: loss is ")
        assert found[name]["scores"] is None
        (line,) = [line for line in (out / "table.md").read_text().splitlines() if line.startswith(f"| {name} ")]
        assert "failed: loss is nan at step 2" in line or "failed: loss is inf at step 2" in line
        assert not any((out / "rows" / f"{name}-seed0" / "checkpoint").glob("[0-9]*"))  # nothing spoiled is kept
    assert found["mixture"]["scores"] is not None
    said = capsys.readouterr().out
    assert "dws-0-2-seed0: loss is " in said
    assert said.endswith("All rows that are trained have failed; their status says why.\n")


@pytest.mark.thorough
def test_seeds_are_trained_together(run, first, tmp_path, monkeypatch):
    """Two seeds in one program, two steps in a call: the first is the row of the same seed that was trained alone."""
    out = tmp_path / "out"
    seeds_of_calls = []

    def recorded(configs, *rest):
        seeds_of_calls.append([config.training.seed for config in configs])
        return train(configs, *rest)

    monkeypatch.setattr(run_row, "train", recorded)
    assert run(out, "dws-1-4", more=["--seeds", "2", "--vectorize-seeds", "--steps-per-call", "2"]) == 0
    assert seeds_of_calls == [[0, 1]]
    found = [row for row in json.loads((out / "results.json").read_text())["rows"] if row["system"] == "dws-1-4"]
    assert [row["seed"] for row in found] == [0, 1]
    assert found[0]["train_s"] == found[1]["train_s"] > 0
    for seed in range(2):
        assert steps(out, f"dws-1-4-seed{seed}") == [1, 2, 3]
    together, alone = (losses(folder / "rows" / "dws-1-4-seed0") for folder in (out, first))
    assert together == pytest.approx(alone, rel=1e-4)
    assert losses(out / "rows" / "dws-1-4-seed1") != pytest.approx(alone, rel=1e-4)
    assert "Mean ± standard deviation" in (out / "table.md").read_text()


@pytest.mark.thorough
def test_several_steps_in_a_call_change_nothing(run, first, tmp_path):
    """Bit for bit, with dropout; three steps by two leave a smaller last call."""
    out = tmp_path / "out"
    assert run(out, "dws-1-4", more=["--steps-per-call", "2"]) == 0
    found, expected = (folder / "rows" / "dws-1-4-seed0" for folder in (out, first))
    assert losses(found) == losses(expected)
    (_, variables), (_, expected_variables) = (load_model(row / "checkpoint") for row in (found, expected))
    jax.tree.map(np.testing.assert_array_equal, variables, expected_variables)


def losses(row):
    return [json.loads(line)["loss"] for line in (row / "train.jsonl").read_text().splitlines()]


@pytest.mark.thorough
def test_seeds_take_over_the_program_of_the_first(run, first, tmp_path, monkeypatch):
    """It is compiled once, and each seed is bit for bit what it is alone: losses and weights."""
    compiled = []
    monkeypatch.setattr(loop, "compile_layout", lambda *given: compiled.append(compile_layout(*given)) or compiled[-1])
    out, alone = tmp_path / "out", tmp_path / "alone"
    assert run(out, "dws-1-4", more=["--seeds", "2"]) == 0
    assert len(compiled) == 1
    assert run(alone, "dws-1-4", more=["--seeds", "2", "--only-rows", "dws-1-4-seed1"]) == 0
    assert len(compiled) == 2
    for seed, other in ((0, first), (1, alone)):
        found, expected = (folder / "rows" / f"dws-1-4-seed{seed}" for folder in (out, other))
        assert losses(found) == losses(expected)
        (_, variables), (_, expected_variables) = (load_model(row / "checkpoint") for row in (found, expected))
        jax.tree.map(np.testing.assert_array_equal, variables, expected_variables)
    seconds = [
        row["compile_s"] for row in json.loads((out / "results.json").read_text())["rows"] if row["seed"] is not None
    ]
    assert seconds[0] == seconds[1] > 0


def test_a_program_is_that_of_its_system():
    """Oracle: counting what is compiled, by system and number of seeds."""
    base, last, made = preset_config("quick"), loop.LastProgram(), []
    configs = [PlannedRow.of_system(name, seed, base).config for name, seed in (("dae", 0), ("dae", 7), ("mad", 0))]
    asked = [(configs[0], 1), (configs[1], 1), (configs[1], 2), (configs[2], 2), (configs[0], 1)]
    found = [last.get(config, seeds, lambda: made.append(0) or ("program", len(made))) for config, seeds in asked]
    assert [number for _, number in found] == [1, 1, 2, 3, 4]
