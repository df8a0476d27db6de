"""Several systems in one evaluation: their order, what was taken of each, comparisons, weights, and songs that fail."""

import dataclasses
import errno
import importlib.util
import json
import os

import numpy as np
import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts",):
    pytest.importorskip(package)

import jax
import soundfile
from tiny import GRU
from tiny_songs import RATE, make_songs

from data_pipelines.songs.layouts import find_tracks
from experiments import evaluate
from experiments.evaluation import folder as scoring
from madsep_jax.checkpoint.folder import CheckpointWriter
from madsep_jax.checkpoint.steps import Score
from madsep_jax.config.io import override
from madsep_jax.errors import InputError
from madsep_jax.train.step import init_state

TOOLS = {"good": 0.01, "fair": 0.03, "poor": 0.1}


def write(path, samples_NC):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples_NC, RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"), train=0, test=3)


@pytest.fixture(scope="module")
def estimates(songs, tmp_path_factory):
    """Three tools' folders: the first one with an accompaniment of its own, but for the last song."""
    folder = tmp_path_factory.mktemp("estimates")
    tracks = find_tracks(songs)
    for number, track in enumerate(tracks):
        audio = track.read()
        noise_NC = np.random.default_rng(number).standard_normal(audio.mixture_NC.shape)
        for tool, level in TOOLS.items():
            voice_NC = audio.voice_NC + level * noise_NC
            write(folder / tool / track.name / "vocals.wav", voice_NC)
            if tool == "good" and track != tracks[-1]:
                write(folder / tool / track.name / "accompaniment.wav", audio.mixture_NC - voice_NC)
    return folder


@pytest.fixture(scope="module")
def run(songs):
    def run(out, *arguments):
        fixed = ["--data", str(songs), "--out", str(out), "--processes", "2", "--protocol", "usdr"]
        return evaluate.main([*fixed, *map(str, arguments)])

    return run


def results(out):
    return json.loads((out / "results.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


@pytest.fixture(scope="module")
def three(run, estimates, tmp_path_factory):
    out = tmp_path_factory.mktemp("three") / "out"
    tools = [estimates / tool for tool in ("poor", "good", "fair")]
    assert run(out, "--estimates", *tools, "--compare", "good", "fair", "poor") == 0
    return out


def test_what_was_scored_is_said(three):
    """Of each target, in the table and as JSON; what has not been said by an earlier version is a dash."""
    taken = results(three)["taken"]["good"]
    assert taken["vocals"] == {"SONG/vocals.wav": 3}
    assert taken["accompaniment"] == {"SONG/accompaniment.wav": 2, "mixture - vocals": 1}
    table = (three / "table.md").read_text()
    assert "SONG/accompaniment.wav (2 songs); mixture - vocals (1 songs)" in table
    song = json.loads(next((three / "scores" / "fair" / "test").glob("*.json")).read_text())
    assert song["taken"] == {"vocals": "SONG/vocals.wav", "accompaniment": "mixture - vocals"}


def test_rows_have_one_order(run, three, estimates):
    """As given, then those of earlier commands by name."""
    assert list(results(three)["systems"]) == ["poor", "good", "fair"]
    assert run(three, "--estimates", estimates / "poor") == 0
    assert list(results(three)["systems"]) == ["poor", "fair", "good"]
    assert run(three, "--compare", "good", "poor") == 0
    assert list(results(three)["systems"]) == ["fair", "good", "poor"]
    assert [(row["a"], row["b"]) for row in results(three)["differences"]] == [("good", "poor")] * 2


def test_each_system_is_compared_with_each(run, three):
    assert run(three, "--compare", "good", "fair", "poor") == 0
    found = results(three)
    assert found["compared"] == ["good", "fair", "poor"]
    voice = [row for row in found["differences"] if row["target"] == "vocals"]
    assert [(row["a"], row["b"]) for row in voice] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    differences = [row["mean_db"] for row in voice]
    np.testing.assert_allclose(differences[0] + differences[2], differences[1])
    np.testing.assert_allclose(differences[1], 20, atol=1)  # noise of a tenth
    assert all(row["found"] and row["better_songs"] == 3 for row in voice)
    table = (three / "table.md").read_text()
    assert table.count(" dB SDR [+") == 3
    for sentence in found["answer"]:
        assert f"- {sentence}\n" in table
        assert " over 3 songs: good is better (p" in sentence or " over 3 songs: fair is better (p" in sentence


def test_bad_comparisons_are_named(run, three, estimates, tmp_path, capsys):
    for names in (["good"], ["good", "fair", "good"]):
        assert run(three, "--compare", *names) == 2
        assert f"--compare {' '.join(names)}: expected two or more systems" in capsys.readouterr().err
    assert run(three, "--compare", "good", "none", "fair") == 2
    assert "--compare none: unknown, expected one of fair, good, poor" in capsys.readouterr().err


# Weights of a checkpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Of two steps, the first of which has the best score; one of a training that its validation may end."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, patience in (("fixed", None), ("stopping", 2)):
        config = override(GRU, {"training.early_stopping.patience": patience, "training.early_stopping.metric": "SDR"})
        state = init_state(config)
        with CheckpointWriter(folder / name, config) as writer:
            for step, sdr in ((10, 5.0), (20, 1.0)):
                params = jax.tree.map(lambda leaf, step=step: step / 10 * leaf, state.params)
                saved = dataclasses.replace(state, step=jax.numpy.asarray(step), params=params)
                writer.save(saved, score=Score("SDR", sdr, higher_is_better=True, validated=True))
    return folder


def test_weights_are_those_of_the_table_unless_others_are_named(run, checkpoints, tmp_path):
    given = ["--checkpoint", checkpoints / "fixed", checkpoints / "stopping"]
    for which, expected in (
        ([], {"fixed": "latest weights, step 20", "stopping": "best weights, step 10"}),
        (["--which", "best"], dict.fromkeys(("fixed", "stopping"), "best weights, step 10")),
        (["--which", "latest"], dict.fromkeys(("fixed", "stopping"), "latest weights, step 20")),
    ):
        assert run(tmp_path / "out", *given, *which) == 0
        taken = results(tmp_path / "out")["taken"]
        assert {name: next(iter(targets["vocals"])) for name, targets in taken.items()} == expected


# Songs that fail


def test_a_song_that_fails_leaves_the_others_their_scores(run, songs, estimates, tmp_path, capsys, monkeypatch):
    """It is named, in the table too; and scored once it can be."""
    out, track = tmp_path / "out", find_tracks(songs)[1]
    read = scoring.song_scores.read
    monkeypatch.setattr(type(track), "read", reading(type(track).read, {track.name: InputError("it is damaged")}))
    assert run(out, "--estimates", estimates / "good") == 1
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == f"good: {track.name}: not scored: it is damaged"
    found = results(out)
    assert found["failed"] == {"good": {track.name: "it is damaged"}}
    assert found["systems"]["good"]["songs"] == 2
    assert f"Not scored, and left out: good: {track.name}." in (out / "table.md").read_text()
    monkeypatch.undo()
    assert run(out, "--estimates", estimates / "good") == 0
    assert results(out)["failed"] == {}
    assert results(out)["systems"]["good"]["songs"] == 3
    assert read(next((out / "scores" / "good" / "test").glob("*.json")))


def reading(read, errors):
    def read_or_fail(track):
        if track.name in errors:
            raise errors[track.name]
        return read(track)

    return read_or_fail


def test_scores_of_files_that_have_changed_are_not_kept_where_they_cannot_be_scored(
    run, songs, estimates, tmp_path, monkeypatch
):
    out, track = tmp_path / "out", find_tracks(songs)[1]
    tool = tmp_path / "tool"
    for song in find_tracks(songs):
        write(tool / song.name / "vocals.wav", song.read().voice_NC)
    assert run(out, "--estimates", tool) == 0
    write(tool / track.name / "vocals.wav", 0.5 * track.read().voice_NC)
    monkeypatch.setattr(type(track), "read", reading(type(track).read, {track.name: InputError("it is damaged")}))
    assert run(out, "--estimates", tool) == 1
    assert results(out)["systems"]["tool"]["songs"] == 2


def test_where_all_songs_fail_the_exit_code_is_1(run, songs, estimates, tmp_path, capsys, monkeypatch):
    tracks = find_tracks(songs)
    errors = {track.name: InputError("it is damaged") for track in tracks}
    monkeypatch.setattr(type(tracks[0]), "read", reading(type(tracks[0]).read, errors))
    assert run(tmp_path / "out", "--estimates", estimates / "good") == 1
    assert capsys.readouterr().out.count("not scored: it is damaged") == 3
    assert not (tmp_path / "out" / "results.json").exists()


def test_an_error_of_the_program_keeps_its_traceback_after_the_others_have_their_scores(
    run, songs, estimates, tmp_path, monkeypatch
):
    out, track = tmp_path / "out", find_tracks(songs)[0]
    monkeypatch.setattr(type(track), "read", reading(type(track).read, {track.name: ZeroDivisionError("a bug")}))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(out, "--estimates", estimates / "good")
    assert results(out)["systems"]["good"]["songs"] == 2


def test_a_full_disk_ends_it_at_once(run, songs, estimates, tmp_path, monkeypatch):
    """As an error of the system that names the file; the scores and results that are there stay."""
    out = tmp_path / "out"
    assert run(out, "--estimates", estimates / "good") == 0

    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("experiments.scoring.song_scores.write_json", full)
    code = error = None
    try:
        code = run(out, "--estimates", estimates / "fair")
    except OSError as found:
        error = found
    assert code == 2 or (error is not None and error.errno == errno.ENOSPC)
    assert len(list((out / "scores" / "good" / "test").glob("*.json"))) == 3
    assert results(out)["failed"] == {}


# Windows without scores


def test_windows_without_scores_are_null_and_musevals_aggregator_reads_them(songs, tmp_path):
    """A voice that is silent in one second of two; and usdr, which has no SIR at all."""
    if importlib.util.find_spec("museval") is None:
        pytest.skip("museval is not installed")
    pandas = pytest.importorskip("pandas")
    for track in find_tracks(songs):
        estimate_NC = np.array(track.read().voice_NC)
        estimate_NC[:RATE] = 0
        write(tmp_path / "tool" / track.name / "vocals.wav", 0.9 * estimate_NC)
    for protocol, expected in (("sisec18", ["SDR", "SIR"]), ("usdr", ["SDR"])):
        out = tmp_path / protocol
        arguments = ["--data", songs, "--out", out, "--estimates", tmp_path / "tool", "--protocol", protocol]
        assert evaluate.main([*map(str, arguments)]) == 0
        frames = []
        for path in (out / "scores" / "tool" / "test").glob("*.json"):
            text = path.read_text()
            assert "NaN" not in text
            table = pandas.json_normalize(json.loads(text)["targets"], ["frames"], ["name"])  # as museval's json2df
            table.columns = [name.removeprefix("metrics.") for name in table.columns]
            values = ["SDR", "SAR", "ISR", "SIR"]
            table = pandas.melt(
                table, var_name="metric", value_name="score", id_vars=["time", "name"], value_vars=values
            )
            frames.append(table.assign(track=path.stem))
        scores = pandas.concat(frames)
        by_song = scores.groupby(["name", "metric", "track"])["score"].median().groupby(["name", "metric"]).median()
        targets = results(out)["systems"]["tool"]["targets"]
        for target in ("vocals", "accompaniment"):
            for metric in expected:
                found = targets[target]["median_db"][metric]
                np.testing.assert_allclose(found, float(by_song[target, metric]))
