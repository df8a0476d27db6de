"""Oracles: eq. 11 in NumPy (float64, 1e-10), hand-made numbers, and the published implementation's ratio-mask target.

Silent rank promotion, by which a (B, T) array would pass for a (B, T, F) one, is an error here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import assert_close, reference, under

from madsep_jax import LossConfig, Separation
from madsep_jax.train.batch import clip_input, input_and_target
from madsep_jax.train.losses import generalised_kl, loss_parts

TARGETS = under(reference("sequences"), "target/")
RATIO = LossConfig(target="ratio_mask")


@pytest.fixture(autouse=True)
def _strict_ranks():
    with jax.numpy_rank_promotion("raise"):
        yield


def random(*shape, seed=0):
    return np.random.default_rng(seed).gamma(0.5, 1.0, shape)


def plain_kl(target_BTF, estimate_BTF):
    total = 0.0
    for y, e in zip(target_BTF.reshape(-1), estimate_BTF.reshape(-1), strict=True):
        total += y * (np.log(y + 1e-6) - np.log(e + 1e-6)) + e - y
    return total / (target_BTF.shape[0] * target_BTF.shape[1])


def test_kl_is_the_formula(float64):
    target_BTF, estimate_BTF = random(2, 3, 5), random(2, 3, 5, seed=1)
    estimate_BTF[0, 0, 0] = target_BTF[0, 0, 1] = 0
    assert_close(
        generalised_kl(jnp.asarray(target_BTF), jnp.asarray(estimate_BTF)), plain_kl(target_BTF, estimate_BTF), 1e-10
    )


magnitude = st.floats(0, 1e3, width=32)


@given(target=magnitude, estimate=magnitude)
def test_kl_is_never_negative(target, estimate):
    """Down to float32's rounding of numbers of this size; and zero where the two are equal."""
    target_BTF, estimate_BTF = (jnp.full((1, 1, 1), value, jnp.float32) for value in (target, estimate))
    assert generalised_kl(target_BTF, estimate_BTF) >= -1e-5 * max(1, target, estimate)
    assert generalised_kl(target_BTF, target_BTF) == 0


def test_kl_is_zero_only_at_equality(float64):
    target_BTF = jnp.asarray(random(1, 2, 3))
    assert generalised_kl(target_BTF, target_BTF) == 0
    assert generalised_kl(target_BTF, 1.1 * target_BTF) > 1e-3
    assert generalised_kl(target_BTF, 0.9 * target_BTF) > 1e-3


def test_kl_gradient_is_finite_at_silence():
    """d/de = 1 - y / (e + 1e-6), over 2 frames."""
    gradient_BTF = jax.grad(lambda e: generalised_kl(jnp.asarray([[[0.0], [1.0]]]), e))(jnp.zeros((1, 2, 1)))
    np.testing.assert_allclose(gradient_BTF.reshape(-1), [0.5, (1 - 1e6) / 2], rtol=1e-5)


def parts_of(config):
    separation = Separation(*(jnp.asarray(random(2, 3, 5, seed=seed)) for seed in (1, 2)))
    kernels = {
        "masker": jnp.asarray(random(4, 5, seed=3) - 0.5),
        "denoiser": jnp.asarray(random(2, 5, seed=4) - 0.5),
    }
    return loss_parts(separation, jnp.asarray(random(2, 3, 5)), kernels, config)


def test_parts_are_eq_11s(float64):
    parts = parts_of(LossConfig())
    target_BTF, mask_kernel, denoiser_kernel = random(2, 3, 5), random(4, 5, seed=3) - 0.5, random(2, 5, seed=4) - 0.5
    assert_close(parts["masker"], plain_kl(target_BTF, random(2, 3, 5, seed=1)), 1e-10)
    assert_close(parts["denoiser"], plain_kl(target_BTF, random(2, 3, 5, seed=2)), 1e-10)
    assert_close(parts["masker_diagonal_l1"], 1e-2 * sum(abs(mask_kernel[i, i]) for i in range(4)), 1e-10)
    assert_close(parts["denoiser_l2"], 1e-4 * (denoiser_kernel**2).sum(), 1e-10)
    assert len(parts) == 4


def test_penalties_scale_with_their_weight_and_go_at_0(float64):
    heavy, light = parts_of(LossConfig(masker_diagonal_l1=0.2, denoiser_l2=0.3)), parts_of(LossConfig())
    assert heavy["masker_diagonal_l1"] == pytest.approx(20 * light["masker_diagonal_l1"])
    assert heavy["denoiser_l2"] == pytest.approx(3000 * light["denoiser_l2"])
    assert set(parts_of(LossConfig(masker_diagonal_l1=0.0, denoiser_l2=0.0))) == {"masker", "denoiser"}


def test_ratio_mask_target_is_the_published_one(float64):
    mix_BSF, voice_BTF = (jnp.asarray(TARGETS[name])[None] for name in ("mixture", "voice"))
    input_BSF, target_BTF = input_and_target(mix_BSF, voice_BTF, RATIO)
    assert_close(input_BSF[0], TARGETS["clipped_mixture"], 1e-12)
    assert_close(target_BTF[0], TARGETS["ratio_mask_target"], 1e-6)


def test_ratio_mask_target_takes_the_middle_frames_of_the_mixture():
    mix_BSF = jnp.asarray([[[9.0], [1.0], [0.2], [9.0]]])
    input_BSF, target_BTF = input_and_target(mix_BSF, jnp.asarray([[[1.0], [0.6]]]), RATIO)
    np.testing.assert_allclose(target_BTF.reshape(-1), [1.0, 2 * 0.2 * 0.6 / 0.8], rtol=1e-6)
    np.testing.assert_allclose(input_BSF.reshape(-1), [1, 1, 0.2, 1])


def test_ratio_mask_target_of_silence_is_silence():
    silence = jnp.zeros((1, 1, 2))
    np.testing.assert_array_equal(input_and_target(silence, silence, RATIO)[1], silence)


def test_magnitudes_are_taken_as_they_are():
    mix_BSF, voice_BTF = jnp.full((1, 3, 2), 7.0), jnp.full((1, 1, 2), 5.0)
    input_BSF, target_BTF = input_and_target(mix_BSF, voice_BTF, LossConfig())
    assert input_BSF is mix_BSF
    assert target_BTF is voice_BTF


def test_clip_input():
    mag = jnp.asarray([0.0, 0.5, 1.0, 3.0])
    assert clip_input(mag, LossConfig()).tolist() == [0, 0.5, 1, 3]
    assert clip_input(mag, RATIO).tolist() == [0, 0.5, 1, 1]
