"""BSSEval of real songs at full length of the filters, against museval and mir_eval."""

import importlib.util
import warnings

import jax
import numpy as np
import pytest

pytest.importorskip("soundfile")
if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

from museval_cases import CORPUS, assert_same_scores

from data_pipelines.songs.layouts import find_tracks
from experiments.scoring.estimators import ideal_ratio_mask, mixture_as_voice
from experiments.scoring.museval_engine import museval_metrics
from madsep_jax import bss_eval
from madsep_jax.bss_eval import filters
from madsep_jax.config.signal import SignalConfig

if not CORPUS.is_dir():
    pytest.skip("the corpus of songs is not there", allow_module_level=True)

TRACKS = find_tracks(CORPUS)


def sources(track, seconds):
    """Voice and accompaniment of an excerpt from the song's middle, and the estimates of an ideal mask."""
    audio = track.read()
    middle = len(audio.mixture_NC) // 2
    span = slice(middle, middle + round(seconds * audio.sample_rate))
    mixture_NC, voice_NC = np.float64(audio.mixture_NC[span]), np.float64(audio.voice_NC[span])
    estimates = ideal_ratio_mask(mixture_NC, voice_NC, SignalConfig())
    return np.stack([voice_NC, mixture_NC - voice_NC]), np.stack(estimates).astype(np.float64), mixture_NC


@pytest.fixture
def solved_by(monkeypatch):
    """The ways by which equations are solved from now on."""
    ways, solve = [], filters._solve

    def solve_and_note(*arguments, form):
        ways.append(form)
        return solve(*arguments, form=form)

    monkeypatch.setattr(filters, "_solve", solve_and_note)
    return ways


@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.name)
def test_excerpts_score_as_in_museval(track):
    reference_SNC, estimate_SNC, mixture_NC = sources(track, 2.5)
    # one channel of each, which is quicker for museval
    estimates = [estimate_SNC, np.stack(mixture_as_voice(mixture_NC)), 0.9 * reference_SNC + 0.1 * reference_SNC[::-1]]
    for found_SNC in estimates:
        arguments = (reference_SNC[..., :1], found_SNC[..., :1])
        expected = museval_metrics().bss_eval(*arguments, window=44100, hop=44100)[:4]
        assert_same_scores(bss_eval.evaluate(*arguments), expected)


@pytest.mark.slow
@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.name)
def test_songs_score_as_in_museval(track):
    reference_SNC, estimate_SNC, mixture_NC = sources(track, 60)
    for found_SNC in (estimate_SNC, np.stack(mixture_as_voice(mixture_NC)), estimate_SNC[::-1]):
        expected = museval_metrics().bss_eval(reference_SNC, found_SNC, window=44100, hop=44100)[:4]
        assert_same_scores(bss_eval.evaluate(reference_SNC, found_SNC), expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["leaking", "swapped", "offset"])
@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.name)
def test_four_stems_score_as_in_museval(track, case, solved_by):
    """On CPUs by the recursion alone, which takes a fiftieth of an elimination's time, whatever music the stems are."""
    audio = track.read()
    reference_SNC = np.stack([np.float64(stem_NC[:150_000]) for stem_NC in audio.stems_NC.values()])
    if case == "offset":
        reference_SNC += 0.02
    estimate_SNC = (
        np.roll(reference_SNC, 1, 0) if case == "swapped" else 0.9 * reference_SNC + 0.1 * reference_SNC[::-1]
    )
    expected = museval_metrics().bss_eval(reference_SNC, estimate_SNC, window=44100, hop=44100)[:4]
    assert_same_scores(bss_eval.evaluate(reference_SNC, estimate_SNC), expected)
    assert jax.default_backend() != "cpu" or set(solved_by) == {"levinson"}


@pytest.mark.slow
@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.name)
def test_segments_score_as_in_mir_eval(track):
    separation = pytest.importorskip("mir_eval.separation")
    reference_SNC, estimate_SNC, _ = sources(track, 60)
    lengths = {"window": 2 * 44100, "hop": 44100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval's own, that it will be removed
        expected = separation.bss_eval_images_framewise(reference_SNC, estimate_SNC, **lengths)[:4]
    expected[1][np.isnan(expected[0])] = np.nan  # the ISR of silent segments, which mir_eval does not set
    assert_same_scores(bss_eval.bss_eval_images_framewise(reference_SNC, estimate_SNC, **lengths)[:4], expected)
