"""museval as the engine: its scores, kept from its crashes."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from noise_songs import RATE, SAMPLES, WINDOWS, sources

from madsep_jax.errors import InputError

if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from experiments.scoring import museval_engine
from experiments.scoring.museval_engine import bss_eval_v4, museval_metrics


def all_nan(scores, windows=WINDOWS):
    arrays = [scores.sdr_SW, scores.isr_SW, scores.sir_SW, scores.sar_SW]
    return all(array_SW.shape == (2, windows) and np.isnan(array_SW).all() for array_SW in arrays)


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
