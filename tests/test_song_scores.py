"""The scores of one song, and their file in museval's format."""

import importlib.util
import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_songs import RATE, WINDOWS, scores_of, song

from madsep_jax.errors import InputError

if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from experiments.scoring import museval_engine
from experiments.scoring.museval_engine import museval_metrics
from experiments.scoring.protocols import METRICS
from experiments.scoring.score_song import score_song
from experiments.scoring.song_scores import TARGETS, SongScores, WindowCounts, read


@pytest.mark.parametrize("engine", ["jax", "museval"])
@pytest.mark.parametrize("channels", [1, 2])
def test_song_is_scored_against_voice_and_accompaniment(channels, engine):
    mixture_NC, voice_NC, estimate_NC = song(channels)
    expected = museval_metrics().bss_eval(
        np.stack([voice_NC, mixture_NC - voice_NC]),
        np.stack([estimate_NC, mixture_NC - estimate_NC]),
        window=RATE,
        hop=RATE,
    )
    scores = score_song("A song", mixture_NC, voice_NC, estimate_NC, RATE, engine=engine)
    version = museval_engine.museval_version() if engine == "museval" else ""
    assert (scores.track, scores.museval_version, scores.engine) == ("A song", version, engine)
    assert scores.protocol == "sisec18"
    for source, target in enumerate(("vocals", "accompaniment")):
        for metric, values_SW in zip(("SDR", "ISR", "SIR", "SAR"), expected[:4], strict=True):
            np.testing.assert_allclose(scores.targets[target][metric], values_SW[source], rtol=0, atol=5.1e-6)


def test_silent_voice_gives_nan_and_no_crash():
    mixture_NC, voice_NC, estimate_NC = song()
    scores = score_song("s", mixture_NC, 0 * voice_NC, estimate_NC, RATE)
    for target in TARGETS:
        assert scores.counts(target) == WindowCounts(windows=WINDOWS, valid=0, nan=WINDOWS, silent=WINDOWS)


def test_shapes_of_a_song_must_agree():
    mixture_NC, voice_NC, estimate_NC = song()
    with pytest.raises(ValueError, match="voice of shape"):
        score_song("s", mixture_NC, voice_NC[:-1], estimate_NC, RATE)
    with pytest.raises(ValueError, match="voice estimate of shape"):
        score_song("s", mixture_NC, voice_NC, estimate_NC[:, 0], RATE)
    with pytest.raises(ValueError, match="accompaniment estimate of shape"):
        score_song("s", mixture_NC, voice_NC, estimate_NC, RATE, accompaniment_estimate_NC=estimate_NC[1:])


@given(st.floats(-400, 400))
def test_rounding_is_that_of_musevals_track_store(value):
    expected = float(Decimal(value).quantize(Decimal(".00001")))
    assert scores_of("s", [value], [0.0]).targets["vocals"]["SDR"].tolist() == [expected]


def test_file_round_trip_and_museval_schema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    mixture_NC, voice_NC, estimate_NC = song()
    voice_NC[RATE : 2 * RATE] = 0
    scores = score_song("Mädchen / Song", mixture_NC, voice_NC, estimate_NC, RATE)
    scores.write(tmp_path / "song.json")
    again = read(tmp_path / "song.json")
    for field in ("track", "window_s", "hop_s", "museval_version", "protocol", "engine", "silent_windows"):
        assert getattr(again, field) == getattr(scores, field)
    for target in TARGETS:
        for metric in METRICS:
            np.testing.assert_array_equal(again.targets[target][metric], scores.targets[target][metric])
    assert scores.counts("vocals") == WindowCounts(windows=3, valid=2, nan=1, silent=1)
    assert [path.name for path in tmp_path.iterdir()] == ["song.json"]
    text = (tmp_path / "song.json").read_text(encoding="utf-8")
    assert "NaN" not in text  # which is no JSON
    written = json.loads(text.replace("null", "NaN"))
    schema = Path(str(museval_metrics().__file__)).with_name("musdb.schema.json")
    jsonschema.validate(written, json.loads(schema.read_text(encoding="utf-8")))
    frame = written["targets"][1]["frames"][1]
    assert (written["targets"][1]["name"], frame["time"], frame["duration"]) == ("accompaniment", 1.0, 1.0)
    assert all(math.isnan(value) for value in frame["metrics"].values())


def test_infinite_scores_are_nan_as_in_musevals_files():
    scores = scores_of("s", [np.inf, 1.0, -np.inf], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(scores.targets["vocals"]["SDR"], [np.nan, 1.0, np.nan])
    assert scores.counts("vocals") == WindowCounts(windows=3, valid=1, nan=2, silent=0)


def test_file_of_musevals_own_is_read(tmp_path):
    metrics = {"SDR": 1.5, "SIR": 3, "SAR": math.nan, "ISR": 2.25}
    frames = [{"time": time, "duration": 2, "metrics": metrics} for time in (0, 1)]
    targets = [{"name": name, "frames": frames} for name in ("drums", "vocals", "accompaniment")]
    (tmp_path / "Some Song.json").write_text(json.dumps({"targets": targets, "museval_version": "0.3.0"}))
    scores = read(tmp_path / "Some Song.json")
    assert (scores.track, scores.window_s, scores.hop_s, scores.museval_version) == ("Some Song", 2, 1, "0.3.0")
    for metric, value in metrics.items():
        np.testing.assert_array_equal(scores.targets["vocals"][metric], [value, value])


WHOLE = scores_of("s", [1.0, 2.0], [3.0, 4.0]).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        json.dumps(WHOLE)[:-9],
        "[]",
        "{}",
        json.dumps(WHOLE | {"targets": WHOLE["targets"][:1]}),
        json.dumps(WHOLE | {"targets": [target | {"frames": []} for target in WHOLE["targets"]]}),
        json.dumps(WHOLE | {"window_s": "1"}),
        json.dumps(WHOLE).replace('"SIR"', '"sir"', 1),
        json.dumps(WHOLE).replace("2.0", '"2"'),
        json.dumps(WHOLE | {"window_s": None}),
    ],
)
def test_damaged_file_is_named_in_one_line(tmp_path, text):
    path = tmp_path / "damaged.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"damaged\.json") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json"):
        read(tmp_path / "absent.json")


def test_incomplete_scores_are_refused():
    whole = scores_of("s", [1.0, 2.0], [3.0, 4.0]).targets
    with pytest.raises(ValueError, match="expected"):
        SongScores("s", 1.0, 1.0, {"vocals": whole["vocals"]})
    with pytest.raises(ValueError, match="one length"):
        SongScores("s", 1.0, 1.0, whole | {"vocals": whole["vocals"] | {"SIR": np.ones(3)}})
