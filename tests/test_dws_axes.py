"""The two ablation axes of the DWS blocks: dilation in time, and a larger channel-wise kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madsep_jax import DwsMaskerConfig, InputError
from madsep_jax.models.depthwise import DwsBlock, DwsBlocks
from madsep_jax.models.dws_masker import DwsMasker
from madsep_jax.ops.dws.depthwise import depthwise_convolution, grouped_convolution, shifted_sum


def arrays(frames=23, width=6, channels=3, side=5):
    random = np.random.default_rng(0)
    x_BTWC = random.normal(size=(2, frames, width, channels)).astype(np.float32)
    return x_BTWC, random.normal(size=(side, side, channels)).astype(np.float32)


def plain(x_BTWC, kernel_KKC, dilation):
    side = len(kernel_KKC)
    half = side // 2
    padded = np.pad(x_BTWC.astype(np.float64), ((0, 0), (half * dilation,) * 2, (half, half), (0, 0)))
    _, frames, width, _ = x_BTWC.shape
    return sum(
        padded[:, i * dilation : i * dilation + frames, j : j + width] * kernel_KKC[i, j]
        for i in range(side)
        for j in range(side)
    )


@pytest.mark.parametrize("form", [grouped_convolution, shifted_sum])
@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
def test_both_forms_are_the_plain_sum(form, dilation):
    """Oracle: a loop in float64 over the kernel's elements; 1e-4. At dilation 8 the kernel outreaches the input."""
    x_BTWC, kernel_KKC = arrays()
    np.testing.assert_allclose(form(x_BTWC, kernel_KKC, dilation), plain(x_BTWC, kernel_KKC, dilation), atol=1e-4)


@pytest.mark.parametrize(("frames", "dilation"), [(23, 1), (23, 3), (40, 8), (7, 8)])
def test_gradient_of_the_shifted_sum(frames, dilation):
    """Oracle: automatic differentiation of XLA's convolution; 1e-4 of the largest element."""
    x_BTWC, kernel_KKC = arrays(frames)

    def gradients(form):
        return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(form(x, kernel, dilation))), (0, 1))(x_BTWC, kernel_KKC)

    for found, expected in zip(gradients(shifted_sum), gradients(grouped_convolution), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * float(jnp.abs(expected).max()))


def test_dilation_reaches_frames_apart():
    """Oracle: a single tap at the kernel's first element moves the input by two dilations in time, two bins in W."""
    x_BTWC, kernel_KKC = arrays()
    kernel_KKC = np.zeros_like(kernel_KKC)
    kernel_KKC[0, 0] = 1
    out_BTWC = depthwise_convolution(x_BTWC, kernel_KKC, 4)
    np.testing.assert_array_equal(out_BTWC[:, 8:, 2:], x_BTWC[:, :-8, :-2])
    assert not np.any(out_BTWC[:, :8])


def test_published_block_keeps_its_parameters():
    """Oracle: names and shapes of the published block's parameters; dilations change neither them nor their values."""
    x_BTWC, _ = arrays(frames=4, channels=8)
    params = DwsBlock(8).init(jax.random.key(0), x_BTWC, train=False)["params"]
    shapes = {
        "depthwise_kernel": (5, 5, 8),
        "depthwise_bias": (8,),
        "inner_norm_scale": (8,),
        "inner_norm_bias": (8,),
        "pointwise_kernel": (8, 8),
        "pointwise_bias": (8,),
        "outer_norm_scale": (8,),
        "outer_norm_bias": (8,),
    }
    assert {name: array.shape for name, array in params.items()} == shapes
    explicit = DwsBlock(8, pointwise_kernel=1).init(jax.random.key(0), x_BTWC, train=False)["params"]
    jax.tree.map(np.testing.assert_array_equal, params, explicit)
    stacked, dilated = (
        DwsBlocks(8, layers=3, dilations=dilations).init(jax.random.key(0), x_BTWC, train=False)["params"]
        for dilations in [(1,), (1, 4)]
    )
    assert {name: array.shape for name, array in stacked.items()} == {name: (3, *shapes[name]) for name in shapes}
    jax.tree.map(np.testing.assert_array_equal, stacked, dilated)


def test_stacked_blocks_are_drawn_one_by_one():
    """Oracle: each block's kernels and biases reach towards ±1/sqrt(fan_in), and no two blocks are alike."""
    x_BTWC, _ = arrays(frames=1, channels=32)
    params = DwsBlocks(32, layers=3).init(jax.random.key(0), x_BTWC, train=False)["params"]
    for name, fan_in in [("depthwise_kernel", 25), ("pointwise_kernel", 32)]:
        bound = 1 / np.sqrt(fan_in)
        for block in params[name]:
            assert 0.95 * bound < np.abs(block).max() <= bound
        assert len(np.unique(params[name])) > 0.99 * params[name].size


def test_larger_channel_wise_kernel():
    """Oracle: with its middle element alone, the k x k kernel is the published pointwise one; 1e-5. Init by fan-in."""
    x_BTWC, _ = arrays(channels=8)
    narrow, wide = DwsBlock(8), DwsBlock(8, pointwise_kernel=3)
    variables = narrow.init(jax.random.key(0), x_BTWC, train=False)
    params = wide.init(jax.random.key(0), x_BTWC, train=False)["params"]
    bound = 1 / np.sqrt(8 * 9)
    assert params["pointwise_kernel"].shape == (3, 3, 8, 8)
    assert 0.95 * bound < np.abs(params["pointwise_kernel"]).max() <= bound
    assert np.abs(params["pointwise_bias"]).max() <= bound
    kernel = jnp.zeros((3, 3, 8, 8)).at[1, 1].set(variables["params"]["pointwise_kernel"])
    same = {**variables, "params": variables["params"] | {"pointwise_kernel": kernel}}
    np.testing.assert_allclose(
        wide.apply(same, x_BTWC, train=False), narrow.apply(variables, x_BTWC, train=False), atol=1e-5
    )


def test_blocks_take_the_dilations_in_turn():
    """Oracle: the frames before the output on which it depends, which the sum of all dilations decides."""
    masker = DwsMasker(DwsMaskerConfig(layers=3, channels=8, kernel=3, dilations=(1, 2)), context_frames=0)
    mag_BSF = np.random.default_rng(1).uniform(size=(1, 41, 129)).astype(np.float32)
    variables = jax.jit(masker.init)(jax.random.key(0), mag_BSF)
    gradient = jax.jit(jax.grad(lambda mag: jnp.sum(masker.apply(variables, mag)[:, 20])))(mag_BSF)
    reached = np.flatnonzero(np.abs(gradient[0]).sum(-1))
    # a frame each side for the first block and the two of the decoder, and 1, 2, 1 for the three blocks between
    assert (reached.min(), reached.max()) == (20 - 7, 20 + 7)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dilations": ()}, "DwsMaskerConfig.dilations: found (), expected one or more positive numbers of frames"),
        ({"dilations": (1, 0)}, "DwsMaskerConfig.dilations: found (1, 0), expected one or more positive numbers of"),
        ({"pointwise_kernel": 2}, "DwsMaskerConfig.pointwise_kernel: found 2, expected a positive odd number"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, text):
    with pytest.raises(InputError) as error:
        DwsMaskerConfig(**fields)
    assert str(error.value).startswith(text)
