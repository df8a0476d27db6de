"""The command that times the scoring of songs, on a song of two seconds."""

import importlib.util
import json

import pytest

for package in ("cyclopts", "soundfile"):
    pytest.importorskip(package)
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

import numpy as np
import soundfile
from tiny_songs import make_songs

from data_pipelines.songs.tracks import STEMS
from experiments import evaluation_speed
from experiments.benchmarks.evaluation_speed import cases

NEW_PROCESS = {"peak_bytes": 10**9, "first_s": 3.0, "again_s": 2.0}


def run(tmp_path, *arguments):
    return evaluation_speed.main(["--seconds", "2", "--repeats", "2", "--out", str(tmp_path / "out"), *arguments])


@pytest.mark.thorough
def test_both_engines_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_speed, "cpu_cores", lambda: 1)  # other processes take seconds to start
    monkeypatch.setattr(cases, "score_in_new_process", lambda *rest: NEW_PROCESS)
    songs = make_songs(tmp_path / "songs", train=1, test=1)
    assert run(tmp_path, "--protocols", "sisec18", "--data", str(songs)) == 0
    content = json.loads((tmp_path / "out" / "evaluation_speed.json").read_text())
    real, made_up = content["results"]
    assert (real["number"], real["audio_s"], made_up["number"], made_up["audio_s"]) == (2, 4.0, 1, 2.0)
    for result in (real, made_up):
        assert len(result["jax_s"]) == len(result["museval_s"]) == 2
        assert result["largest_difference_db"] < 1e-3
    assert content["environment"]["versions"]["museval"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "2 songs, leaking" in table
    assert "sisec18: 1.00 GB, first call 3.0 s, second 2.0 s" in table


def noises(folder):
    """A song of four mono stems."""
    stems = dict(zip(STEMS, 0.1 * np.random.default_rng(0).standard_normal((4, 8000)), strict=True))
    place = folder / "test" / "song"
    place.mkdir(parents=True)
    for name, samples_N in {"mixture": sum(stems.values()), **stems}.items():
        soundfile.write(place / f"{name}.wav", samples_N, 8000, subtype="FLOAT")
    return folder


@pytest.mark.thorough
def test_a_long_case_gets_one_round(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_speed, "cpu_cores", lambda: 1)
    monkeypatch.setattr(cases, "score_in_new_process", lambda *rest: NEW_PROCESS)
    songs = noises(tmp_path / "songs")
    arguments = ["--protocols", "sisec18", "--data", str(songs), "--enough", "0", "--targets", "stems"]
    assert run(tmp_path, *arguments, "--cases", "swapped", "silent", "short") == 0
    *found, made_up = json.loads((tmp_path / "out" / "evaluation_speed.json").read_text())["results"]
    assert [row["songs"] for row in found] == ["songs, swapped", "songs, silent", "songs, short"]
    for row in (*found, made_up):
        assert len(row["jax_s"]) == len(row["museval_s"]) == 1
        assert row["largest_difference_db"] < 1e-3


def test_bad_options_are_named(tmp_path, capsys):
    for option, value in (("--repeats", "0"), ("--seconds", "0.5"), ("--protocols", "usdr")):
        assert run(tmp_path, option, value, "--data", str(tmp_path / "absent")) == 2
        assert option in capsys.readouterr().err


@pytest.mark.slow
def test_memory_is_of_a_process_of_its_own():
    """Ten seconds of stereo sound take little beside the programs themselves."""
    small, large = (cases.score_in_new_process("sisec18", seconds) for seconds in (2.0, 12.0))
    assert 10**8 < small["peak_bytes"] < large["peak_bytes"] < 2 * 10**9
    assert small["again_s"] < small["first_s"]  # which compiles
