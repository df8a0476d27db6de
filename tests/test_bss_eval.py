"""BSSEval against museval and mir_eval, at short signals and short filters; at full length in the slow tests."""

import importlib.util
import warnings

import numpy as np
import pytest

if importlib.util.find_spec("museval") is None:  # importing it would need ffmpeg
    pytest.skip("museval is not installed", allow_module_level=True)

import jax
from museval_cases import KINDS, NOISE_DB, SHORT_NOISE_DB, assert_same_scores, noises, silent_windows, swapped
from scipy.signal import lfilter
from tiny import enable_float64

from experiments.scoring.museval_engine import museval_metrics
from madsep_jax import bss_eval
from madsep_jax.bss_eval import filters

SIZES = [(1, 1), (2, 1), (2, 2), (4, 1)]
TAPS = 24
#: Samples of a song, window and hop: many windows, overlapping ones, gaps between them, and songs of a window or less.
LENGTHS = [(2000, 400, 400), (1900, 500, 250), (1700, 300, 450), (400, 400, 400), (399, 400, 400), (90, 400, 400)]
WINDOWS = {"window": 800, "hop": 400}


def museval_scores(*arguments, **options):
    # museval guards its denominators, not its numerators
    with np.errstate(divide="ignore"):
        return museval_metrics().bss_eval(*arguments, **options)[:4]


def both(reference_SNC, estimate_SNC, **options):
    """Ours, and museval's."""
    arguments = (reference_SNC, estimate_SNC)
    return bss_eval.bss_eval(*arguments, **options)[:4], museval_scores(*arguments, **options)


def pair(seed=0, sources=2, samples=3000, channels=1):
    return noises(np.random.default_rng(seed), sources, samples, channels)


# The same as museval


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("sources", "channels"), SIZES)
@pytest.mark.parametrize(("samples", "window", "hop"), LENGTHS)
def test_scores_are_musevals(kind, sources, channels, samples, window, hop):
    """192 cases."""
    random = np.random.default_rng([sources, channels, samples])
    arguments = kind(random, sources, samples, channels)
    assert_same_scores(*both(*arguments, window=window, hop=hop, filters_len=TAPS))


@pytest.mark.parametrize("kind", [noises, silent_windows, swapped], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("sources", "channels"), SIZES)
def test_scores_with_filters_of_each_window_are_musevals(kind, sources, channels):
    arguments = kind(np.random.default_rng(sources), sources, 1900, channels)
    assert_same_scores(*both(*arguments, window=500, hop=250, filters_len=TAPS, framewise_filters=True))


@pytest.mark.parametrize(("samples", "channels"), [(3000, 1), (3000, 2), (300, 1), (512, 1)])
def test_scores_with_512_taps_are_musevals(samples, channels):
    assert_same_scores(*both(*pair(1, 2, samples, channels), **WINDOWS, filters_len=512))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("sources", "channels"), [(1, 2), *SIZES[1:], (4, 2)])
@pytest.mark.parametrize(("samples", "window", "hop"), [(9000, 2000, 2000), (2500, 2000, 500), (400, 2000, 2000)])
def test_all_kinds_with_512_taps_are_musevals(kind, sources, channels, samples, window, hop):
    """104 cases. A song of fewer samples than taps is explained in whole, so that its SAR says how museval rounds."""
    if samples < 9000 and sources * channels > 4:
        pytest.skip("several windows of a song that many filters explain: museval's scores depend on which it finds")
    random = np.random.default_rng([sources, channels, samples, 1])
    arguments = kind(random, sources, samples, channels)
    noise_db = SHORT_NOISE_DB if samples < 512 else NOISE_DB
    assert_same_scores(*both(*arguments, window=window, hop=hop, filters_len=512), noise_db)


def test_evaluate_is_musevals():
    """Mono in two dimensions, an estimate that is too long and one that is too short."""
    reference_SNC, estimate_SNC = pair(2)
    expected = museval_scores(reference_SNC, estimate_SNC, **WINDOWS)
    found = bss_eval.evaluate(reference_SNC[..., 0], estimate_SNC[..., 0], 800, 400)
    assert_same_scores(found, expected)
    longer_SNC = np.pad(estimate_SNC, ((0, 0), (0, 50), (0, 0)))
    assert_same_scores(bss_eval.evaluate(reference_SNC, longer_SNC, 800, 400), expected)
    cut_SNC = estimate_SNC.copy()
    cut_SNC[:, 2950:] = 0
    expected = museval_scores(reference_SNC, cut_SNC, **WINDOWS)
    assert_same_scores(bss_eval.evaluate(reference_SNC, cut_SNC[:, :2950], 800, 400), expected)
    with pytest.raises(ValueError, match="references of shape"):
        bss_eval.evaluate(reference_SNC, longer_SNC, 800, 400, padding=False)
    with pytest.raises(ValueError, match="mode 'v2'"):
        bss_eval.evaluate(reference_SNC, estimate_SNC, mode="v2")


@pytest.mark.parametrize("samples", [1000, 1100, 1500, pytest.param(3000, marks=pytest.mark.thorough)])
def test_images_framewise_are_mir_evals(samples):
    """1100 samples are more than a window and less than two: mir_eval scores them as a whole."""
    separation = pytest.importorskip("mir_eval.separation")
    reference_SNC, estimate_SNC = pair(3, 2, samples, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mir_eval's own, that it will be removed
        expected = separation.bss_eval_images_framewise(reference_SNC, estimate_SNC, window=1000, hop=500)
    found = bss_eval.bss_eval_images_framewise(reference_SNC, estimate_SNC, window=1000, hop=500)
    assert_same_scores(found[:4], expected[:4])


# Hard cases


def test_perfect_estimate():
    reference_SNC, _ = pair(4)
    found, expected = both(reference_SNC, reference_SNC.copy(), **WINDOWS, filters_len=TAPS)
    assert_same_scores(found, expected)
    assert (found[0] == np.inf).all()
    assert (np.array(found[1:]) > NOISE_DB).all()


def test_equal_references():
    """Nothing can be told apart: no interference at all, in museval too."""
    reference_SNC, estimate_SNC = pair(5)
    reference_SNC[1] = reference_SNC[0]
    found, expected = both(reference_SNC, estimate_SNC, **WINDOWS, filters_len=TAPS)
    assert_same_scores(found, expected)
    assert (found[2] > NOISE_DB).all()


def test_equal_impulses_where_museval_falls_back_to_least_squares():
    reference_SNC, estimate_SNC = np.zeros((2, 2000, 1)), pair(6, 2, 2000)[1]
    reference_SNC[:, 0] = 2.0
    assert_same_scores(*both(reference_SNC, estimate_SNC, window=np.inf, hop=np.inf))


def test_silent_channel():
    reference_SNC, estimate_SNC = pair(7, channels=2)
    reference_SNC[..., 1] = 0
    assert_same_scores(*both(reference_SNC, estimate_SNC, **WINDOWS, filters_len=TAPS))


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("source", [0, 1])
def test_samples_that_are_not_finite_spoil_what_they_do_in_museval(which, source):
    arguments = pair(8)
    arguments[which][source, 5] = np.nan
    with np.errstate(all="ignore"):
        expected = museval_scores(*arguments, **WINDOWS, filters_len=TAPS)
    assert_same_scores(bss_eval.bss_eval(*arguments, **WINDOWS, filters_len=TAPS)[:4], expected)


@pytest.mark.parametrize("which", ["reference", "estimate"])
def test_silent_source_is_refused_in_a_line_where_museval_raises(which):
    arguments = pair(9)
    arguments[which == "estimate"][1] = 0
    with pytest.raises(ValueError, match="non-silent"):
        museval_scores(*arguments)
    with pytest.raises(ValueError, match=f"{which} 1: found silence throughout, expected a source with sound"):
        bss_eval.bss_eval(*arguments)


@pytest.mark.parametrize("other", [lambda x: x[..., :1], lambda x: x[:, :-1], lambda x: x[:1], lambda x: x[:, :0]])
def test_other_shapes_are_refused(other):
    reference_SNC, estimate_SNC = pair(10, channels=2)
    with pytest.raises(ValueError, match="references of shape"):
        bss_eval.bss_eval(reference_SNC, other(estimate_SNC))


def test_arguments_that_mean_something_else_are_refused():
    with pytest.raises(ValueError, match="compute_permutation"):
        bss_eval.bss_eval(*pair(), compute_permutation=True)
    for window, hop in ((0, 1), (1, 0), (100.5, 50), (100, 50.5), (float("nan"), 1)):
        with pytest.raises(ValueError, match="window of"):
            bss_eval.bss_eval(*pair(), window=window, hop=hop)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the recursion is for CPUs")
def test_what_only_rounding_leaves_is_not_solved_again(monkeypatch):
    """Rumble, swapped: errors of 1e-18 are as small as in museval's own solution, though not as is aimed at."""
    ways, solve = [], filters._solve

    def solve_and_note(*arguments, form):
        ways.append(form)
        return solve(*arguments, form=form)

    monkeypatch.setattr(filters, "_solve", solve_and_note)
    reference_SNC = np.random.default_rng(0).standard_normal((2, 6000, 2))
    reference_SNC[0] = lfilter([1], [1, -0.999], reference_SNC[0], axis=0)
    reference_SNC = lfilter([1], [1, -0.999], reference_SNC, axis=1)
    reference_SNC /= np.abs(reference_SNC).max((1, 2), keepdims=True)
    options = {"window": 2000, "hop": 2000, "filters_len": 64}
    assert_same_scores(*both(reference_SNC, 0.7 * reference_SNC[::-1], **options))
    assert ways == ["levinson"] * 2


def test_silence_throughout_costs_nothing(monkeypatch):
    monkeypatch.setattr("madsep_jax.bss_eval.v4.correlate", lambda *_: pytest.fail("nothing to be computed"))
    reference_SNC, estimate_SNC = pair(14)
    estimate_SNC[1] = 0
    [ratios] = bss_eval.score_windows([bss_eval.Song.of(reference_SNC, estimate_SNC[None])], **WINDOWS, taps=TAPS)
    for ratio_ESW in ratios:
        assert ratio_ESW.shape == (1, 2, 6)
        assert np.isnan(ratio_ESW).all()


# Many estimates and songs at once


def test_songs_and_estimates_together_are_those_one_by_one():
    """Two songs of other lengths, three estimates of each: what one is does not change what the others score."""
    songs = []
    for seed, samples in ((11, 3000), (12, 1300)):
        reference_SNC, estimate_SNC = pair(seed, samples=samples)
        halved_SNC = np.concatenate([0 * estimate_SNC[:, :900], estimate_SNC[:, 900:]], axis=1)
        songs.append(bss_eval.Song.of(reference_SNC, np.stack([estimate_SNC, 0.5 * reference_SNC, halved_SNC])))
    together = bss_eval.score_windows(songs, **WINDOWS, taps=TAPS)
    for song, ratios in zip(songs, together, strict=True):
        for number, estimate_SNC in enumerate(song.estimate_ESNC):
            expected = museval_scores(song.reference_SNC, estimate_SNC, **WINDOWS, filters_len=TAPS)
            assert_same_scores([ratio_ESW[number] for ratio_ESW in ratios], expected)


def test_precision_of_the_process_stays_as_it_is():
    bss_eval.bss_eval(*pair(13), **WINDOWS, filters_len=TAPS)
    assert jax.numpy.ones(1).dtype == np.float32
    found_32 = bss_eval.bss_eval(*(signal.astype(np.float32) for signal in pair(13)), **WINDOWS, filters_len=TAPS)
    with enable_float64():
        found_64 = bss_eval.bss_eval(*(np.float64(np.float32(x)) for x in pair(13)), **WINDOWS, filters_len=TAPS)
    np.testing.assert_array_equal(found_32[3], found_64[3])


# Whole songs


def test_sdr_and_si_sdr_by_hand(float64):
    reference_NC = np.array([[3.0, 0.0], [0.0, 4.0]])
    estimate_NC = np.array([[6.0, 1.0], [1.0, 8.0]])
    # energy 25, error 9 + 1 + 1 + 16; scale 50 / 25, so the error of 2 s is 1 + 1
    assert abs(bss_eval.sdr(reference_NC, estimate_NC) - 10 * np.log10(25 / 27)) < 1e-6
    assert abs(bss_eval.si_sdr(reference_NC, estimate_NC) - 10 * np.log10(100 / 2)) < 1e-9
    assert abs(bss_eval.si_sdr(reference_NC, 7 * estimate_NC) - 10 * np.log10(100 / 2)) < 1e-9
    both_BNC = np.stack([estimate_NC, reference_NC])
    found = jax.jit(jax.vmap(bss_eval.si_sdr, (None, 0)))(reference_NC, both_BNC)
    np.testing.assert_allclose(found, [10 * np.log10(50), np.inf])


def test_whole_song_ratios_of_silence(float64):
    sound_NC, silence_NC = np.ones((4, 1)), np.zeros((4, 1))
    assert bss_eval.sdr(silence_NC, silence_NC) == 0
    assert abs(bss_eval.sdr(silence_NC, sound_NC) - 10 * np.log10(1e-7 / 4)) < 1e-6
    assert bss_eval.sdr(sound_NC, sound_NC) > 70
    for arguments in ((silence_NC, sound_NC), (sound_NC, silence_NC), (silence_NC, silence_NC)):
        assert np.isnan(bss_eval.si_sdr(*arguments))


def test_sdr_is_differentiable():
    """More of the reference is better, in the direction of the reference."""
    reference_NC = np.array([[1.0], [-2.0], [0.5]], np.float32)
    slope_NC = jax.grad(lambda estimate_NC: bss_eval.sdr(reference_NC, estimate_NC))(0.5 * reference_NC)
    np.testing.assert_allclose(slope_NC / slope_NC[0], reference_NC, rtol=1e-5)
