import dataclasses
import importlib.util
import json
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madsep_jax.config import SignalConfig
from madsep_jax.errors import InputError

if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from experiments.scoring import museval_engine
from experiments.scoring.aggregate import aggregate
from experiments.scoring.museval_engine import bss_eval_v4, museval_metrics
from experiments.scoring.references import ideal_ratio_mask, mixture_as_voice
from experiments.scoring.score_song import score_song
from experiments.scoring.song_scores import TARGETS, SongScores, WindowCounts, read
from experiments.scoring.window_scores import METRICS

RATE = 8000
WINDOWS = 3
SAMPLES = WINDOWS * RATE


def sources(channels, samples=SAMPLES, seed=0):
    """Two references and their estimates with some interference and noise, (2, N, C) each."""
    rng = np.random.default_rng(seed)
    reference_SNC = 0.1 * rng.standard_normal((2, samples, channels))
    noise_SNC = 0.02 * rng.standard_normal(reference_SNC.shape)
    return reference_SNC, 0.9 * reference_SNC + 0.2 * reference_SNC[::-1] + noise_SNC


def all_nan(scores, windows=WINDOWS):
    arrays = [scores.sdr_SW, scores.isr_SW, scores.sir_SW, scores.sar_SW]
    return all(array_SW.shape == (2, windows) and np.isnan(array_SW).all() for array_SW in arrays)


def scores_of(track, vocals, accompaniment, **lengths):
    """SongScores whose four metrics are the same numbers, shifted by 0, 1, 2 and 3 dB."""
    targets = {
        target: {metric: np.array(values) + shift for shift, metric in enumerate(METRICS)}
        for target, values in zip(TARGETS, (vocals, accompaniment), strict=True)
    }
    return SongScores(track=track, **{"window_s": 1.0, "hop_s": 1.0} | lengths, targets=targets, museval_version="x")


# The engine


@pytest.mark.parametrize(("channels", "window_s", "hop_s"), [(1, 1.0, 1.0), (1, 0.7, 0.3), (2, 1.0, 0.5)])
def test_scores_are_those_of_museval(channels, window_s, hop_s):
    reference_SNC, estimate_SNC = sources(channels)
    *expected, _ = museval_metrics().bss_eval(
        reference_SNC, estimate_SNC, window=int(window_s * RATE), hop=int(hop_s * RATE)
    )
    scores = bss_eval_v4(reference_SNC, estimate_SNC, RATE, window_s=window_s, hop_s=hop_s)
    for found_SW, expected_SW in zip(dataclasses.astuple(scores), expected, strict=True):
        np.testing.assert_array_equal(found_SW, expected_SW)


@pytest.mark.parametrize("channels", [1, 2])
def test_sdr_is_the_signal_to_error_ratio_of_the_window(channels):
    reference_SNC, estimate_SNC = sources(channels, samples=SAMPLES + RATE // 3)
    signal_SNC, error_SNC = reference_SNC**2, (estimate_SNC - reference_SNC) ** 2
    sdr_SW = bss_eval_v4(reference_SNC, estimate_SNC, RATE).sdr_SW
    assert sdr_SW.shape == (2, WINDOWS)
    for window in range(WINDOWS):
        span = slice(window * RATE, (window + 1) * RATE)
        expected_S = 10 * np.log10(signal_SNC[:, span].sum((1, 2)) / error_SNC[:, span].sum((1, 2)))
        np.testing.assert_allclose(sdr_SW[:, window], expected_S, rtol=0, atol=1e-6)


def test_single_precision_changes_nothing_but_the_samples():
    reference_SNC, estimate_SNC = (array.astype(np.float32) for array in sources(1))
    expected_SW = museval_metrics().bss_eval(reference_SNC, estimate_SNC, window=RATE, hop=RATE)[0]
    np.testing.assert_array_equal(bss_eval_v4(reference_SNC, estimate_SNC, RATE).sdr_SW, expected_SW)


def test_one_source():
    reference_SNC, estimate_SNC = sources(1)
    scores = bss_eval_v4(reference_SNC[:1], estimate_SNC[:1], RATE)
    assert scores.sdr_SW.shape == (1, WINDOWS)
    assert list(scores.of_source(0)) == ["SDR", "ISR", "SIR", "SAR"]
    np.testing.assert_array_equal(scores.of_source(0)["SAR"], scores.sar_SW[0])


@pytest.mark.parametrize("samples", [1, 100, RATE // 2, RATE - 1, RATE])
def test_song_of_a_window_or_less_is_one_window(samples):
    reference_SNC, estimate_SNC = sources(1, samples)
    sdr_S = bss_eval_v4(reference_SNC, estimate_SNC, RATE).sdr_SW[:, 0]
    error_SNC = estimate_SNC - reference_SNC
    expected_S = 10 * np.log10((reference_SNC**2).sum((1, 2)) / (error_SNC**2).sum((1, 2)))
    np.testing.assert_allclose(sdr_S, expected_S, rtol=0, atol=1e-6)


@pytest.mark.parametrize("silent", ["reference", "estimate"])
def test_silent_window_of_one_source_is_nan_for_both(silent):
    reference_SNC, estimate_SNC = sources(1)
    (reference_SNC if silent == "reference" else estimate_SNC)[0, RATE : 2 * RATE] = 0
    scores = bss_eval_v4(reference_SNC, estimate_SNC, RATE)
    for array_SW in dataclasses.astuple(scores):
        np.testing.assert_array_equal(np.isnan(array_SW), [[False, True, False]] * 2)


@pytest.mark.parametrize("silent", ["reference", "estimate"])
@pytest.mark.parametrize("samples", [SAMPLES, SAMPLES + 1, RATE // 2])
def test_silent_song_of_one_source_is_nan_in_every_window(silent, samples):
    reference_SNC, estimate_SNC = sources(1, samples)
    (reference_SNC if silent == "reference" else estimate_SNC)[1] = 0
    with pytest.raises(ValueError, match="non-silent"):
        museval_metrics().bss_eval(reference_SNC, estimate_SNC)
    assert all_nan(bss_eval_v4(reference_SNC, estimate_SNC, RATE), max(1, samples // RATE))


def test_opposite_channels_are_silence_to_museval():
    reference_SNC, estimate_SNC = sources(2)
    reference_SNC[0, :, 1] = -reference_SNC[0, :, 0]
    assert all_nan(bss_eval_v4(reference_SNC, estimate_SNC, RATE))


def test_filters_without_a_unique_solution():
    """Two equal impulses as references: museval falls back to least squares by a name that NumPy 2.4 lacks."""
    reference_SNC, estimate_SNC = np.zeros((2, 2000, 1)), sources(1, 2000)[1]
    reference_SNC[:, 0] = 2.0
    sdr_S = bss_eval_v4(reference_SNC, estimate_SNC, RATE).sdr_SW[:, 0]
    expected_S = 10 * np.log10(4.0 / ((estimate_SNC - reference_SNC) ** 2).sum((1, 2)))
    np.testing.assert_allclose(sdr_S, expected_S, rtol=0, atol=1e-6)


def test_extremes_are_infinite_without_a_warning():
    reference_SNC, estimate_SNC = sources(1)
    assert (bss_eval_v4(reference_SNC, reference_SNC, RATE).sdr_SW == np.inf).all()
    reference_SNC[0, :RATE] = 1e-170
    assert bss_eval_v4(reference_SNC, estimate_SNC, RATE).sdr_SW[0, 0] == -np.inf


def test_museval_and_musdb_are_not_imported():
    program = (
        "import sys, numpy as np; from experiments.scoring.score_song import score_song;"
        "m, v, e = np.random.default_rng(0).standard_normal((3, 900, 1)); score_song('s', m, v, e, 900);"
        "print(*sorted({'museval', 'musdb', 'stempeg', 'pandas'} & set(sys.modules)))"
    )
    root = Path(museval_engine.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=root, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")


@pytest.fixture
def without_museval(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    museval_metrics.cache_clear()
    yield
    museval_metrics.cache_clear()


@pytest.mark.usefixtures("without_museval")
def test_without_museval_the_error_names_the_extra():
    with pytest.raises(InputError, match=r'pip install "madsep-jax\[scores\]"'):
        bss_eval_v4(sources(1)[0], sources(1)[1], RATE)


def test_wrong_arrays_are_refused():
    reference_SNC, estimate_SNC = sources(1)
    for wrong in (estimate_SNC[:1], estimate_SNC[:, :-1], estimate_SNC[..., 0]):
        with pytest.raises(ValueError, match=r"references of shape .* and estimates of shape"):
            bss_eval_v4(reference_SNC, wrong, RATE)
    with pytest.raises(ValueError, match="without a zero"):
        bss_eval_v4(reference_SNC[:, :0], estimate_SNC[:, :0], RATE)
    with pytest.raises(ValueError, match="expected a sample or more"):
        bss_eval_v4(reference_SNC, estimate_SNC, RATE, hop_s=0.0)
    estimate_SNC[1, 5] = np.nan
    with pytest.raises(ValueError, match="estimates: found samples that are NaN or infinite"):
        bss_eval_v4(reference_SNC, estimate_SNC, RATE)


# One song


def song(channels=1):
    """A mixture, its voice and an estimate of the voice, (N, C) each."""
    reference_SNC, estimate_SNC = sources(channels)
    return reference_SNC.sum(0), reference_SNC[0], estimate_SNC[0]


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


# Its file


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
    written = json.loads((tmp_path / "song.json").read_text(encoding="utf-8"))
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
        json.dumps(WHOLE).replace("2.0", "null"),
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


# Many songs


def test_sisec18_by_hand():
    nan = math.nan
    songs = [
        scores_of("a", [1.0, 9.0, 2.0], [10.0, 10.0, 13.0]),  # medians 2, 10
        scores_of("b", [nan, 4.0, 7.0], [nan, 1.0, 2.0]),  # 5.5, 1.5
        scores_of("c", [3.0], [4.0]),  # 3, 4
        scores_of("d", [nan, nan], [nan, nan]),  # left out
    ]
    found = aggregate(songs)
    assert (found.protocol, found.songs, found.window_s, found.hop_s) == ("sisec18", 4, 1.0, 1.0)
    vocals, accompaniment = found.targets["vocals"], found.targets["accompaniment"]
    assert vocals.median_db == {"SDR": 3.0, "ISR": 4.0, "SIR": 5.0, "SAR": 6.0}
    assert accompaniment.median_db == {"SDR": 4.0, "ISR": 5.0, "SIR": 6.0, "SAR": 7.0}
    assert (vocals.scored_songs, vocals.windows, vocals.valid_windows, vocals.nan_windows) == (3, 9, 6, 3)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["targets"]["vocals"]["median_db"]["SDR"] == 3.0


def test_sisec18_without_any_valid_window():
    [vocals, _] = aggregate([scores_of("a", [math.nan], [math.nan])]).targets.values()
    assert all(math.isnan(median) for median in vocals.median_db.values())
    assert vocals.scored_songs == 0


def test_sisec18_refuses_what_cannot_be_aggregated():
    one = scores_of("a", [1.0], [1.0])
    with pytest.raises(ValueError, match="no songs"):
        aggregate([])
    with pytest.raises(ValueError, match="scored twice"):
        aggregate([one, one])
    with pytest.raises(ValueError, match="different"):
        aggregate([one, scores_of("b", [1.0], [1.0], hop_s=0.5)])


# The reference rows

SMALL = SignalConfig(sample_rate=RATE, window_length=401, hop_length=80, fft_length=512)


def test_mixture_row_is_the_ratio_of_the_sources():
    mixture_NC, voice_NC, _ = song()
    estimates = mixture_as_voice(mixture_NC)
    scores = score_song(
        "s", mixture_NC, voice_NC, estimates.voice_NC, RATE, accompaniment_estimate_NC=estimates.accompaniment_NC
    )
    voice_W = (voice_NC**2).reshape(WINDOWS, -1).sum(1)
    accompaniment_W = ((mixture_NC - voice_NC) ** 2).reshape(WINDOWS, -1).sum(1)
    expected_W = 10 * np.log10(voice_W / accompaniment_W)
    np.testing.assert_allclose(scores.targets["vocals"]["SDR"], expected_W, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores.targets["accompaniment"]["SDR"], -expected_W, rtol=0, atol=1e-5)
    without = score_song("s", mixture_NC, voice_NC, estimates.voice_NC, RATE)
    assert without.counts("vocals").valid == 0


def test_ideal_ratio_mask_beats_the_mixture():
    mixture_NC, voice_NC, _ = (array_NC.astype(np.float32) for array_NC in song())
    masked, mixture = ideal_ratio_mask(mixture_NC, voice_NC, SMALL), mixture_as_voice(mixture_NC)
    assert masked.voice_NC.shape == mixture_NC.shape
    np.testing.assert_allclose(masked.voice_NC + masked.accompaniment_NC, mixture_NC, atol=1e-6)
    sdr = {
        row: bss_eval_v4(np.stack([voice_NC, mixture_NC - voice_NC]), np.stack(estimates), RATE).sdr_SW
        for row, estimates in (("mask", masked), ("mixture", mixture))
    }
    assert (sdr["mask"] > sdr["mixture"] + 3).all()  # two white noises of one level


def test_ideal_ratio_mask_of_the_ends_of_the_scale():
    """A mixture that is all voice comes back whole, one without a voice comes back silent, silence stays silence."""
    mixture_NC = song()[0].astype(np.float32)
    np.testing.assert_allclose(ideal_ratio_mask(mixture_NC, mixture_NC, SMALL).voice_NC, mixture_NC, atol=1e-6)
    np.testing.assert_array_equal(ideal_ratio_mask(mixture_NC, 0 * mixture_NC, SMALL).voice_NC, 0 * mixture_NC)
    np.testing.assert_array_equal(ideal_ratio_mask(0 * mixture_NC, 0 * mixture_NC, SMALL).voice_NC, 0 * mixture_NC)


def test_ideal_ratio_mask_is_the_ratio_of_magnitudes():
    """For voice = a * mixture with 0 < a < 1 the mask is a at every bin, so the estimate is the voice itself."""
    mixture_NC = song(2)[0].astype(np.float32)
    voice_NC = 0.3 * mixture_NC
    np.testing.assert_allclose(ideal_ratio_mask(mixture_NC, voice_NC, SMALL).voice_NC, voice_NC, atol=1e-6)


def test_ideal_ratio_mask_refuses_other_shapes():
    with pytest.raises(ValueError, match="voice of shape"):
        ideal_ratio_mask(np.zeros((10, 2)), np.zeros((10, 1)), SMALL)
