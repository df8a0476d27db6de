"""The dilated block, and the systems built of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madsep_jax import InputError, build_model
from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.config.run import LossConfig, ModelConfig
from madsep_jax.models.dilated import DilatedBlock, DilatedStack, WeightNormConv
from madsep_jax.models.variables import parameter_counts
from madsep_jax.train.losses import accompaniment_target, generalised_kl, loss_parts

SMALL = DilatedConfig(blocks=2, channels=8, convolutions=2, groups=2, gru_dilation=3)


def magnitudes(frames=13, bins=6, batch=2):
    return np.random.default_rng(0).uniform(0.1, 1, size=(batch, frames, bins)).astype(np.float32)


def test_weight_normalised_convolution_is_a_plain_sum():
    """Oracle: g · v / ‖v‖ and a loop over groups and taps in float64; 1e-5."""
    x_BTD = magnitudes(bins=4)
    layer = WeightNormConv(6, kernel=3, dilation=2, groups=2)
    params = layer.init(jax.random.key(0), x_BTD)["params"]
    params = params | {"g": jnp.arange(1.0, 7.0), "bias": jnp.linspace(-1, 1, 6)}
    v = np.asarray(params["v"], np.float64)
    assert v.shape == (3, 2, 6)
    kernel = np.arange(1, 7) * v / np.sqrt((v**2).sum((0, 1)))
    padded = np.pad(x_BTD, ((0, 0), (2, 2), (0, 0)))
    expected = np.tile(np.linspace(-1, 1, 6), (2, 13, 1))
    for channel in range(6):
        first = channel // 3 * 2
        for tap in range(3):
            expected[..., channel] += padded[:, 2 * tap : 2 * tap + 13, first : first + 2] @ kernel[tap, :, channel]
    np.testing.assert_allclose(layer.apply({"params": params}, x_BTD), expected, atol=1e-5)


def test_the_length_of_v_does_not_count():
    x_BTD = magnitudes()
    variables = WeightNormConv(4, kernel=3).init(jax.random.key(0), x_BTD)["params"]
    longer = variables | {"v": 7 * variables["v"]}
    out, same = (WeightNormConv(4, kernel=3).apply({"params": params}, x_BTD) for params in (variables, longer))
    np.testing.assert_allclose(out, same, rtol=1e-5)


def test_convolution_keeps_the_mean_square():
    """Oracle: unit noise through the first convolution and a LeakyReLU stays unit noise, within 10 % (He et al.)."""
    noise = jax.random.normal(jax.random.key(1), (4, 200, 64))
    layer = WeightNormConv(64, kernel=3, groups=2)
    out = layer.apply(layer.init(jax.random.key(0), noise), noise)
    assert jnp.mean(jnp.square(jax.nn.leaky_relu(out))) == pytest.approx(1, rel=0.1)


def test_block_reaches_its_whole_context():
    """Oracle: exactly the frames that taps of dilations 1 and 2, every third step of the GRU and the skip lead to."""
    x_BTD = magnitudes(frames=30, bins=8, batch=1)
    block = DilatedBlock(DilatedConfig(channels=8, convolutions=2, groups=2, gru_dilation=12, bidirectional=False))
    variables = jax.jit(block.init)(jax.random.key(0), x_BTD)
    gradient = jax.jit(jax.grad(lambda x: block.apply(variables, x)[0, 20].sum()))(x_BTD)
    reached = np.flatnonzero(np.abs(gradient[0]).max(-1) > 0)
    around = {centre + step for centre in (20, 8) for step in range(-3, 4)}
    assert set(reached) == around


def test_block_adds_its_input():
    """Oracle: with the GRU's parameters at 0, its states are 0, and a block of equal sizes returns its input."""
    x_BTC = magnitudes(bins=8)
    block = DilatedBlock(SMALL)
    params = block.init(jax.random.key(0), x_BTC)["params"]
    assert "skip" not in params
    params = params | {"gru": jax.tree.map(jnp.zeros_like, params["gru"])}
    np.testing.assert_array_equal(block.apply({"params": params}, x_BTC), x_BTC)


def test_only_a_block_of_other_size_maps_its_input():
    params = DilatedStack(SMALL).init(jax.random.key(0), magnitudes())["params"]
    assert params["block_0"]["skip"]["v"].shape == (1, 6, 8)
    assert params["block_0"]["convolution_0"]["v"].shape == (3, 6, 8)  # not in groups
    assert params["block_0"]["convolution_1"]["v"].shape == (3, 4, 8)
    assert "skip" not in params["block_1"]


def test_system_estimates_both_sources():
    """Oracle: shapes, and the masks that the mask layer's bias alone makes when its kernel is 0."""
    mag_BSF = magnitudes()
    model = build_model(ModelConfig(bins=6, context_frames=2, masker=SMALL))
    params = model.init(jax.random.key(0), mag_BSF)["params"]
    bias = jnp.concatenate([jnp.full(6, 0.25), jnp.full(3, 2.0), jnp.full(3, -1.0)])
    params = params | {"mask_layer": {"kernel": jnp.zeros((8, 12)), "bias": bias}}
    out = model.apply({"params": params}, mag_BSF, train=False)
    assert out.masker_BTF is None
    np.testing.assert_allclose(out.voice_BTF, 0.25 * mag_BSF[:, 2:-2], rtol=1e-6)
    np.testing.assert_allclose(out.accompaniment_BTF, mag_BSF[:, 2:-2] * [2, 2, 2, 0, 0, 0], rtol=1e-6)


def test_system_learns_both_sources_and_nothing_else():
    """Oracle: the two divergences by hand; the penalties of eq. 11 are of layers that it does not have."""
    mag_BSF = magnitudes()
    voice_BTF = 0.3 * mag_BSF[:, 2:-2]
    model = build_model(ModelConfig(bins=6, context_frames=2, masker=SMALL))
    variables = model.init(jax.random.key(0), mag_BSF)
    out = model.apply(variables, mag_BSF, train=True)
    parts = loss_parts(out, voice_BTF, model.output_kernels(variables["params"]), LossConfig(), mag_BSF)
    assert set(parts) == {"voice", "accompaniment"}
    assert parts["voice"] == generalised_kl(voice_BTF, out.voice_BTF)
    expected = generalised_kl(0.7 * mag_BSF[:, 2:-2], out.accompaniment_BTF)
    assert parts["accompaniment"] == pytest.approx(float(expected), rel=1e-5)


def test_accompaniment_target_is_a_lower_bound():
    """Oracle: |mixture - voice| of complex spectra, in phase and not."""
    random = np.random.default_rng(3)
    voice, other = random.normal(size=(2, 1, 5, 4, 2)) @ [1, 1j]
    target = accompaniment_target(jnp.abs(voice + other), jnp.abs(voice))
    assert (target >= 0).all()
    assert (target <= np.abs(other) + 1e-6).all()
    in_phase = accompaniment_target(jnp.abs(voice) * 3, jnp.abs(voice))
    np.testing.assert_allclose(in_phase, 2 * np.abs(voice), rtol=1e-6)


def test_masker_has_the_parts_of_mad():
    counts = parameter_counts(ModelConfig(bins=6, masker=DilatedConfig(role="masker", channels=8)))
    assert set(counts) == {"masker", "denoiser"}


def test_system_counts_at_full_size():
    """Oracle: the arithmetic of sizes, by hand."""
    conv = lambda fan_in, taps: 512 * (taps * fan_in + 2)  # noqa: E731
    gru = 2 * (512 * 768 + 256 * 768 + 2 * 768)
    first = conv(2049, 3) + 3 * conv(128, 3) + gru + conv(2049, 1)
    later = 4 * conv(128, 3) + gru
    counts = parameter_counts(ModelConfig(masker=DilatedConfig()))
    assert counts == {"stack": first + 2 * later, "mask_layer": 512 * 4098 + 4098}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"channels": 12}, "DilatedConfig.channels: found 12, expected a positive multiple of twice the groups (4)"),
        ({"kernel": 2}, "DilatedConfig.kernel: found 2, expected a positive odd number"),
        ({"gru_dilation": 0}, "DilatedConfig.gru_dilation: found 0, expected a positive number"),
        ({"role": "both"}, "DilatedConfig.role: found 'both', expected 'masker' or 'system'"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, text):
    with pytest.raises(InputError) as error:
        DilatedConfig(**fields)
    assert str(error.value) == text
