"""What the scores make of arrays as people have them: the value of the same signals in floating point, or one error."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madsep_jax import bss_eval

SAMPLES, RATE = 3000, 3000
WHOLE_SONG = [bss_eval.sdr, bss_eval.si_sdr]


def signals(*shape):
    """A reference and an estimate in steps of 16 bits, within ±1."""
    random = np.random.default_rng(len(shape))
    reference = random.uniform(-0.4, 0.4, shape)
    estimate = 0.8 * reference + random.uniform(-0.1, 0.1, shape)
    return [np.float32(np.round(x * 2**15) / 2**15) for x in (reference, estimate)]


def in_double(score, reference, estimate):
    """The definitions, by NumPy."""
    reference, estimate = np.float64(reference), np.float64(estimate)
    if score is bss_eval.sdr:
        return 10 * np.log10(((reference**2).sum() + 1e-7) / (((reference - estimate) ** 2).sum() + 1e-7))
    target = (reference * estimate).sum() / (reference**2).sum() * reference
    return 10 * np.log10((target**2).sum() / ((target - estimate) ** 2).sum())


@pytest.mark.parametrize("score", WHOLE_SONG)
@pytest.mark.parametrize(
    "change",
    [
        lambda x_NC: x_NC,
        lambda x_NC: x_NC.tolist(),
        lambda x_NC: jnp.asarray(x_NC),
        lambda x_NC: np.asfortranarray(x_NC),
        lambda x_NC: np.int16(x_NC * 2**15),
        lambda x_NC: jnp.asarray(np.int16(x_NC * 2**15)),
        lambda x_NC: np.int32(np.float64(x_NC) * 2**31),
    ],
    ids=["float", "list", "jax", "columns first", "int16", "int16 of jax", "int32"],
)
def test_samples_of_each_kind_have_the_score_of_floating_point_ones(score, change):
    reference_NC, estimate_NC = signals(SAMPLES, 2)
    found = score(change(reference_NC), change(estimate_NC))
    np.testing.assert_allclose(found, in_double(score, reference_NC, estimate_NC), atol=1e-3)
    np.testing.assert_allclose(score(change(reference_NC), estimate_NC), found, atol=1e-3)  # kinds may differ


@pytest.mark.parametrize("score", WHOLE_SONG)
def test_half_precision_is_summed_in_single(score):
    """Energies of 60,000 samples, of which those of 16 bits could not hold the sum."""
    reference_NC, estimate_NC = (np.float16(x_NC) for x_NC in signals(60_000, 1))
    np.testing.assert_allclose(score(reference_NC, estimate_NC), in_double(score, reference_NC, estimate_NC), atol=1e-2)


@pytest.mark.parametrize("score", WHOLE_SONG)
def test_mono_and_several_signals(score):
    """One axis is mono; sources before samples have a score each; one reference may have several estimates."""
    reference_SNC, estimate_SNC = signals(3, SAMPLES, 2)
    expected = [in_double(score, *pair) for pair in zip(reference_SNC, estimate_SNC, strict=True)]
    np.testing.assert_allclose(score(reference_SNC, estimate_SNC), expected, atol=1e-3)
    np.testing.assert_allclose(score(reference_SNC[0], estimate_SNC)[0], expected[0], atol=1e-3)
    mono = reference_SNC[0, :, 0], estimate_SNC[0, :, 0]
    np.testing.assert_allclose(score(*mono), in_double(score, *mono), atol=1e-3)


def test_both_are_still_jitted_and_mapped():
    reference_NC, estimate_NC = signals(SAMPLES, 1)
    for score in WHOLE_SONG:
        found = jax.jit(jax.vmap(score, (None, 0)))(reference_NC, np.stack([estimate_NC, 0.5 * estimate_NC]))
        np.testing.assert_allclose(found[0], in_double(score, reference_NC, estimate_NC), atol=1e-3)


def other(shape, kind=np.float32):
    return np.ones(shape, kind)


@pytest.mark.parametrize("score", WHOLE_SONG)
@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        (other((2, SAMPLES)), other((2, SAMPLES)), "reference of shape (2, 3000)"),  # channels first, or mono sources
        (other((1, SAMPLES)), other((SAMPLES, 1)), "estimate of shape (3000, 1)"),  # would be 3000 by 3000 differences
        (other(SAMPLES), other((SAMPLES, 1)), "reference of shape (3000,)"),
        (other((SAMPLES, 2)), other((SAMPLES, 1)), "estimate of shape (3000, 1)"),
        (other((SAMPLES, 2)), other((2999, 2)), "estimate of shape (2999, 2)"),
        (other((2, SAMPLES, 2)), other((3, SAMPLES, 2)), "expected as many of each, or one"),
        (other(0), other(0), "reference of shape (0,)"),
        (other(()), other(()), "reference of shape ()"),
        (other((SAMPLES, 2), np.int64), other((SAMPLES, 2)), "reference: found samples of kind int64"),
        (other((SAMPLES, 2)), other((SAMPLES, 2), np.uint8), "estimate: found samples of kind uint8"),
        (other((SAMPLES, 2), complex), other((SAMPLES, 2)), "reference: found samples of kind complex128"),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]], "reference: found lists of different lengths"),
        ("text", "text", "reference: found samples of kind <U4"),
        (None, other((SAMPLES, 2)), "reference: found samples of kind object"),
    ],
)
def test_what_has_no_score_is_refused_in_a_line(score, reference, estimate, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        score(reference, estimate)
    assert "\n" not in str(caught.value)


# BSSEval


def test_bss_eval_of_integers_and_lists_is_that_of_floating_point():
    reference_SNC, estimate_SNC = signals(2, SAMPLES, 2)
    expected = bss_eval.evaluate(reference_SNC, estimate_SNC, 1000, 1000)
    integers = (np.int16(x_SNC * 2**15) for x_SNC in (reference_SNC, estimate_SNC))
    np.testing.assert_allclose(bss_eval.evaluate(*integers, 1000, 1000), expected, atol=1e-6)
    found = bss_eval.evaluate(reference_SNC.tolist(), estimate_SNC.tolist(), 1000, 1000)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bss_eval_of_opposite_integers_is_not_silence():
    """The smallest integer and itself sum to 0 in 16 bits."""
    loudest_SNC = np.full((1, SAMPLES, 2), -(2**15), np.int16)
    assert not bss_eval.Song.of(loudest_SNC, loudest_SNC[None]).silent(bss_eval.Windows(SAMPLES, SAMPLES, 1)).any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((SAMPLES, 2), "references of shape (3000, 2, 1): found fewer samples than sources or channels"),
        ((2, 2, SAMPLES), "references of shape (2, 2, 3000): found fewer samples than sources or channels"),
        ((SAMPLES, 2, 2), "references of shape (3000, 2, 2): found fewer samples"),
    ],
)
def test_bss_eval_of_axes_in_another_order_is_refused_at_once(shape, message):
    """Thousands of sources or channels would take terabytes."""
    for score in (bss_eval.evaluate, bss_eval.bss_eval, bss_eval.bss_eval_images_framewise):
        with pytest.raises(ValueError, match=re.escape(message)):
            score(*signals(*shape))


# Songs


def test_songs_of_integers_score_as_those_of_floating_point():
    scores = pytest.importorskip("experiments.scoring.score_song")
    mixture_NC, voice_NC = signals(SAMPLES, 2)
    estimate_NC = np.float32(np.round(0.8 * voice_NC * 2**15) / 2**15)
    floats = mixture_NC, voice_NC, estimate_NC
    expected = scores.score_song("s", *floats, RATE).targets
    for mixed in ([np.int16(x_NC * 2**15) for x_NC in floats], [np.int16(mixture_NC * 2**15), voice_NC, estimate_NC]):
        found = scores.score_song("s", *mixed, RATE).targets
        for target, by_metric in expected.items():
            for metric, values_W in by_metric.items():
                np.testing.assert_allclose(found[target][metric], values_W, atol=1e-3)


def test_songs_that_do_not_fit_are_refused_in_a_line():
    scores = pytest.importorskip("experiments.scoring.score_song")
    mixture_NC, voice_NC = signals(SAMPLES, 2)
    with pytest.raises(ValueError, match="fewer samples than sources or channels"):
        scores.score_song("s", mixture_NC.T, voice_NC.T, voice_NC.T, RATE)
    for estimates, message in (
        ({"vocals": voice_NC}, "estimates of ['vocals']: expected ['accompaniment', 'vocals']"),
        (
            {"vocals": voice_NC, "accompaniment": voice_NC[1:]},
            "estimates of shapes vocals (3000, 2), accompaniment (2999, 2)",
        ),
        (
            {"vocals": voice_NC, "accompaniment": np.int64(voice_NC)},
            "estimate accompaniment: found samples of kind int64",
        ),
    ):
        references = {"vocals": voice_NC, "accompaniment": mixture_NC - voice_NC}
        for protocol in ("sisec18", "usdr", "si-sdr"):
            with pytest.raises(ValueError, match=re.escape(message)):
                scores.score_sources("s", references, estimates, RATE, protocol, "jax")
