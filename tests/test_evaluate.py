"""The evaluation of separated songs: what it reads, writes, resumes and says of bad input."""

import csv
import importlib.util
import json
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("soundfile")
for package in ("cyclopts",):
    pytest.importorskip(package)

import soundfile
from scipy import stats
from tiny_checkpoint import save_model
from tiny_songs import RATE, make_songs

from data_pipelines.songs.layouts import find_tracks
from experiments import evaluate
from experiments.evaluation import folder as scoring
from experiments.scoring import song_scores


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return make_songs(tmp_path_factory.mktemp("songs"), train=0, test=3)


@pytest.fixture(scope="module")
def estimates(songs, tmp_path_factory):
    """Two tools' folders: a good one with both files, and one with voices alone, in a folder `test`, as flac."""
    folder = tmp_path_factory.mktemp("estimates")
    for number, track in enumerate(find_tracks(songs)):
        audio = track.read()
        noise_NC = np.random.default_rng(number).standard_normal(audio.mixture_NC.shape)
        voice_NC = audio.voice_NC + 0.01 * noise_NC
        write(folder / "good" / track.name / "vocals.wav", voice_NC)
        write(folder / "good" / track.name / "accompaniment.wav", audio.mixture_NC - voice_NC)
        write(folder / "poor" / "test" / track.name / "vocals.flac", 0.5 * audio.mixture_NC)
        for stem, stem_NC in audio.stems_NC.items():
            write(folder / "stems" / track.name / f"{stem}.wav", 0.9 * stem_NC + 0.01 * audio.mixture_NC)
    return folder


def write(path, samples_NC, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples_NC, rate, subtype="PCM_16")


@pytest.fixture(scope="module")
def run(songs):
    def run(out, *arguments):
        return evaluate.main(["--data", str(songs), "--out", str(out), "--processes", "2", *map(str, arguments)])

    return run


@pytest.fixture(scope="module")
def first(run, estimates, tmp_path_factory):
    out = tmp_path_factory.mktemp("first") / "out"
    assert run(out, "--estimates", estimates / "good", f"bad={estimates / 'poor'}", "--compare", "good", "bad") == 0
    return out


def error_line(capsys):
    text = capsys.readouterr().err
    assert text.startswith("evaluate: ")
    assert text.count("\n") == 1
    return text


def error_lines(capsys):
    """About all songs, and one for each."""
    about, *lines = capsys.readouterr().err.splitlines()
    assert about.startswith("evaluate: ")
    return [about, *lines]


@pytest.mark.thorough
def test_the_page_plays_what_is_scored(run, estimates, tmp_path):
    """Without excerpts the scores are the same, to the last bit, and nothing is heard."""
    given = ["--estimates", estimates / "good", estimates / "poor", "--compare", "good", "poor"]
    assert run(tmp_path / "with", *given) == 0
    assert run(tmp_path / "without", *given, "--no-excerpts") == 0
    sounds = [
        (tmp_path / name / "report.html").read_text(encoding="utf-8").count("<audio ") for name in ("with", "without")
    ]
    assert sounds == [3 * (3 + 2 * 2), 0]
    for path in (tmp_path / "with" / "scores").rglob("*.json"):
        assert path.read_bytes() == (tmp_path / "without" / path.relative_to(tmp_path / "with")).read_bytes()
    assert not list((tmp_path / "without").rglob("*.ogg"))


def test_results_are_there(first, songs):
    results = json.loads((first / "results.json").read_text())
    assert results["protocol"] == "sisec18"
    assert list(results["systems"]) == ["good", "bad"]
    good, bad = (results["systems"][name]["targets"]["vocals"] for name in ("good", "bad"))
    assert good["score_db"]["SDR"] > bad["score_db"]["SDR"] + 3
    low, high = good["interval_db"]["SDR"]
    assert low <= good["score_db"]["SDR"] <= high
    assert (good["windows"], good["valid_windows"], good["silent_windows"]) == (6, 6, 0)
    with (first / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2
    assert {row["protocol"] for row in rows} == {"sisec18"}
    assert {row["engine"] for row in rows} == {"jax"}
    markdown = (first / "table.md").read_text()
    assert "Protocol sisec18" in markdown
    assert "engine jax" in markdown
    assert f"- {results['answer'][0]}\n" in markdown


def test_comparison_is_song_by_song(first):
    results = json.loads((first / "results.json").read_text())
    [sdr] = [one for one in results["differences"] if (one["target"], one["metric"]) == ("vocals", "SDR")]
    scores = [
        {song.track: np.median(song.targets["vocals"]["SDR"]) for song in map(song_scores.read, files)}
        for files in ((first / "scores" / name / "test").glob("*.json") for name in ("good", "bad"))
    ]
    good, bad = ([of_songs[track] for track in scores[0]] for of_songs in scores)
    assert (sdr["a"], sdr["b"], sdr["songs"], sdr["better_songs"]) == ("good", "bad", 3, 3)
    np.testing.assert_allclose(sdr["mean_db"], np.mean(np.subtract(good, bad)))
    np.testing.assert_allclose(sdr["p_value"], stats.ttest_rel(good, bad).pvalue, rtol=1e-9)
    assert sdr["p_holm"] == sdr["p_value"]
    assert sdr["interval_db"][0] > 0


def test_musevals_aggregator_reads_the_files(first):
    """museval's aggregate module, without its package, which needs ffmpeg."""
    if importlib.util.find_spec("museval") is None:
        pytest.skip("museval is not installed")
    pandas = pytest.importorskip("pandas")
    frames = []
    for path in (first / "scores" / "good").glob("test/**/*.json"):  # as EvalStore.add_eval_dir looks for them
        targets = json.loads(path.read_text())["targets"]
        table = pandas.json_normalize(targets, ["frames"], ["name"])  # as museval.aggregate.json2df does
        frames.append(table.assign(track=path.stem))
    table = pandas.concat(frames)
    expected = table.groupby(["name", "track"])["metrics.SDR"].median().groupby("name").median()
    results = json.loads((first / "results.json").read_text())["systems"]["good"]["targets"]
    for target in ("vocals", "accompaniment"):
        np.testing.assert_allclose(results[target]["score_db"]["SDR"], expected[target])


def test_what_a_killed_command_has_left_is_cleared(run, estimates, tmp_path):
    """Before it had written what the folder is for, and amid a song's scores."""
    out, arguments = tmp_path / "out", ("--estimates", estimates / "good", "--protocol", "usdr")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    leftover = f"json.{socket.gethostname()}.{gone.pid}.partial"
    out.mkdir()
    (out / f".evaluation.{leftover}").write_text("{")
    assert run(out, *arguments) == 0
    (out / "scores" / "good" / "test" / f".song.{leftover}").write_text("{")
    assert run(out, *arguments) == 0
    assert not list(out.rglob(".*"))


def test_again_it_scores_what_has_changed(run, first, estimates, songs, monkeypatch):
    scored = []

    def score_and_write(path, track, *rest, **kept):
        scored.append(track)
        done(path, track, *rest, **kept)

    done = scoring.score_and_write
    monkeypatch.setattr(scoring, "score_and_write", score_and_write)
    assert run(first, "--estimates", estimates / "good") == 0
    assert scored == []
    track = find_tracks(songs)[1]
    file = estimates / "good" / track.name / "vocals.wav"
    write(file, soundfile.read(file)[0] * 0.99)
    damaged = first / "scores" / "good" / "test" / f"{find_tracks(songs)[2].name}.json"
    damaged.write_text(damaged.read_text()[:100])
    assert run(first, "--estimates", estimates / "good") == 0
    assert scored == [track.name, find_tracks(songs)[2].name]
    assert list(json.loads((first / "results.json").read_text())["systems"]) == ["good", "bad"]


@pytest.mark.parametrize("protocol", ["paper", "usdr", "si-sdr"])
def test_every_protocol_names_itself(run, estimates, tmp_path, protocol):
    assert run(tmp_path / "out", "--estimates", estimates / "good", "--protocol", protocol) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    vocals = results["systems"]["good"]["targets"]["vocals"]
    assert results["systems"]["good"]["protocol"] == protocol
    assert vocals["windows"] == 3  # songs shorter than a segment: one each
    assert f"Protocol {protocol}: " in (tmp_path / "out" / "table.md").read_text()
    assert vocals["score_db"]["SDR"] > 5
    assert (vocals["score_db"]["SIR"] is None) == (protocol != "paper")


def test_usdr_by_hand(run, estimates, songs, tmp_path):
    assert run(tmp_path / "out", "--estimates", estimates / "poor", "--protocol", "usdr") == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["systems"]["poor"]["targets"]["vocals"]
    expected = []
    for track in find_tracks(songs):
        voice_NC = np.float64(track.read().voice_NC)
        estimate_NC, _ = soundfile.read(estimates / "poor" / "test" / track.name / "vocals.flac")
        expected.append(10 * np.log10(((voice_NC**2).sum() + 1e-7) / (((voice_NC - estimate_NC) ** 2).sum() + 1e-7)))
    np.testing.assert_allclose(found["score_db"]["SDR"], np.mean(expected), atol=1e-5)


def test_stems(tmp_path):
    """Oracle: noises that are 0.9 of themselves and 0.01 of their sum; 10 log10(0.91² / 3 · 0.01²) = 34.4 dB."""
    stems = {
        name: 0.1 * np.random.default_rng(number).standard_normal((2 * RATE, 2))
        for number, name in enumerate(("vocals", "drums", "bass", "other"))
    }
    mixture_NC = sum(stems.values())
    write(tmp_path / "songs" / "Mixtures" / "Test" / "song" / "mixture.wav", mixture_NC)
    for name, stem_NC in stems.items():
        write(tmp_path / "songs" / "Sources" / "Test" / "song" / f"{name}.wav", stem_NC)
        write(tmp_path / "stems" / "song" / f"{name}.wav", 0.9 * stem_NC + 0.01 * mixture_NC)
    arguments = ["--data", tmp_path / "songs", "--estimates", tmp_path / "stems", "--out", tmp_path / "out"]
    assert evaluate.main([*map(str, arguments), "--targets", "stems"]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["systems"]["stems"]["targets"]
    assert list(found) == ["vocals", "drums", "bass", "other"]
    for target in found.values():
        np.testing.assert_allclose(target["score_db"]["SIR"], 34.4, atol=0.5)


@pytest.mark.thorough
def test_engines_agree(run, estimates, tmp_path):
    if importlib.util.find_spec("museval") is None:
        pytest.skip("museval is not installed")
    for engine in ("jax", "museval"):
        assert run(tmp_path / engine, "--estimates", estimates / "good", "--engine", engine) == 0
    ours, museval = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("jax", "museval"))
    for target in ("vocals", "accompaniment"):
        found, expected = (one["systems"]["good"]["targets"][target]["score_db"] for one in (ours, museval))
        for metric, value in expected.items():
            assert abs(found[metric] - value) < 1e-3


def test_checkpoint_is_scored(run, tmp_path):
    save_model(tmp_path / "model", mask=0.5, noise=0.01)
    assert run(tmp_path / "out", "--checkpoint", f"mine={tmp_path / 'model'}") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["systems"]["mine"]["targets"]["vocals"]["windows"] == 6


# Bad input


def test_bad_options_are_named(run, estimates, tmp_path, capsys, first):
    good = str(estimates / "good")
    for arguments, message in (
        ((), "found nothing to score, expected --estimates, --checkpoint or --compare"),
        (("--estimates", tmp_path / "absent"), "absent: no such folder"),
        (("--estimates", good, good), "system 'good': found twice"),
        (("--estimates", f"..={good}"), "expected a name that can name a folder"),
        (("--estimates", good, "--compare", "good", "other"), "--compare other: unknown, expected one of good"),
        (
            ("--estimates", good, "--protocol", "usdr", "--engine", "museval"),
            "engine 'museval': found with protocol usdr",
        ),
        (("--estimates", good, "--split", "train"), "found no train songs"),
        (("--checkpoint", tmp_path), "config.json"),
    ):
        assert run(tmp_path / "out", *arguments) == 2
        assert message in error_line(capsys)
        assert not (tmp_path / "out").exists()
    assert evaluate.main(["--data", "embedded", "--estimates", good, "--processes", "0"]) == 2
    assert "--processes: found 0, expected at least 1" in error_line(capsys)
    assert run(first, "--estimates", good, "--protocol", "paper") == 2
    assert "holds an evaluation of protocol 'sisec18'; choose another folder" in error_line(capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x_NC: (x_NC, 16000), "found 16000 Hz, expected 8000 Hz, the song's"),
        (lambda x_NC: (x_NC[:, :1], RATE), "found 1 channels, expected 2, the song's"),
    ],
)
def test_files_that_do_not_fit_are_named(run, songs, tmp_path, capsys, change, message):
    for track in find_tracks(songs):
        samples_NC, rate = change(track.read().voice_NC)
        write(tmp_path / "tool" / track.name / "vocals.wav", samples_NC, rate)
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 2
    about, *lines = error_lines(capsys)
    assert about == "evaluate: 3 of 3 songs cannot be used; expected others:"
    assert [message in line and "vocals.wav" in line for line in lines] == [True] * 3
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_used_are_named_before_anything_is_scored(run, songs, tmp_path, capsys):
    tracks = find_tracks(songs)
    for track in tracks:
        write(tmp_path / "tool" / track.name / "vocals.wav", track.read().voice_NC)
    last = tmp_path / "tool" / tracks[-1].name / "vocals.wav"
    write(last, tracks[-1].read().voice_NC, 16000)
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 2
    assert "found 16000 Hz, expected 8000 Hz" in error_line(capsys)
    last.write_text("no sound")
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 2
    assert "cannot be read as audio" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_samples_that_are_not_finite_are_named(run, songs, tmp_path, capsys):
    for track in find_tracks(songs):
        voice_NC = track.read().voice_NC.copy()
        voice_NC[7] = np.nan
        path = tmp_path / "tool" / track.name / "vocals.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, voice_NC, RATE, subtype="FLOAT")
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 2
    assert ["NaN or infinite samples" in line for line in error_lines(capsys)[1:]] == [True] * 3
    assert not (tmp_path / "out").exists()


def test_files_of_another_length_are_filled_or_cut_and_said(run, songs, estimates, tmp_path, capsys):
    for number, track in enumerate(find_tracks(songs)):
        voice_NC = 0.9 * track.read().voice_NC
        voice_NC = np.pad(voice_NC, ((0, 100), (0, 0))) if number else voice_NC[:-200]
        write(tmp_path / "tool" / track.name / "vocals.wav", voice_NC)
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 0
    text = capsys.readouterr().out
    assert text.count("100 samples longer than the song: cut") == 2
    assert text.count("200 samples shorter than the song: silence added") == 1


def test_missing_song_is_named_before_anything_is_scored(run, songs, tmp_path, capsys):
    for track in find_tracks(songs)[:2]:
        write(tmp_path / "tool" / track.name / "vocals.wav", track.read().voice_NC)
    assert run(tmp_path / "out", "--estimates", tmp_path / "tool") == 2
    assert f"{find_tracks(songs)[2].name}: found no file, expected vocals.wav" in error_line(capsys)
    assert not (tmp_path / "out").exists()
