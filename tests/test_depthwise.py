"""Oracles: plain NumPy loops and formulas, and each form against the other; float64, 1e-10."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close

from madsep_jax import ComputeConfig
from madsep_jax.models.depthwise import DwsBlock
from madsep_jax.models.dws_masker import Upsample
from madsep_jax.ops.dws.block import max_pool_frequency
from madsep_jax.ops.dws.depthwise import depthwise_convolution, grouped_convolution, shifted_sum
from madsep_jax.ops.dws.lazy import as_array


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def plain_convolution(x_BTWC, kernel_KKC):
    """Sum over the kernel's offsets, position by position; what lies outside is zero."""
    out = np.zeros((*x_BTWC.shape[:3], kernel_KKC.shape[2]))
    half = len(kernel_KKC) // 2
    for (_, t, w), _ in np.ndenumerate(x_BTWC[:1, :, :, 0]):
        for (i, j), _ in np.ndenumerate(kernel_KKC[:, :, 0]):
            from_t, from_w = t + i - half, w + j - half
            if 0 <= from_t < x_BTWC.shape[1] and 0 <= from_w < x_BTWC.shape[2]:
                out[:, t, w] += x_BTWC[:, from_t, from_w] * kernel_KKC[i, j]
    return out


# 45 frames do not divide into equal groups of rows.
SHAPES = [(2, 6, 7, 3, 5), (1, 1, 1, 2, 5), (2, 45, 4, 2, 3), (1, 3, 4, 2, 1), (1, 20, 3, 2, 3)]


@pytest.mark.parametrize(("b", "t", "w", "c", "k"), SHAPES)
def test_three_forms_are_one(float64, b, t, w, c, k):
    x_BTWC, kernel_KKC = normal(b, t, w, c), normal(k, k, c, seed=1)
    expected_BTWC = plain_convolution(x_BTWC, kernel_KKC)
    for form in (grouped_convolution, shifted_sum, depthwise_convolution):
        assert_close(jax.jit(form)(x_BTWC, kernel_KKC), expected_BTWC, 1e-10)


@pytest.mark.parametrize(("b", "t", "w", "c", "k"), SHAPES)
def test_gradients_are_equal(float64, b, t, w, c, k):
    x_BTWC, kernel_KKC, weights_BTWC = normal(b, t, w, c), normal(k, k, c, seed=1), normal(b, t, w, c, seed=2)

    def gradient(form):
        return jax.jit(jax.grad(lambda x, kernel: jnp.sum(form(x, kernel) * weights_BTWC), (0, 1)))(x_BTWC, kernel_KKC)

    for found, expected in zip(gradient(shifted_sum), gradient(grouped_convolution), strict=True):
        assert_close(found, expected, 1e-10)


def test_one_channel_goes_to_all(float64):
    x_BTW1, kernel_KKC = normal(2, 6, 7, 1), normal(5, 5, 3, seed=1)
    found = depthwise_convolution(x_BTW1, kernel_KKC)
    assert_close(found, plain_convolution(np.tile(x_BTW1, 3), kernel_KKC), 1e-10)


BLOCK_SHAPES = {
    "depthwise_kernel": (3, 3, 4),
    "depthwise_bias": (4,),
    "inner_norm_scale": (4,),
    "inner_norm_bias": (4,),
    "pointwise_kernel": (4, 4),
    "pointwise_bias": (4,),
    "outer_norm_scale": (4,),
    "outer_norm_bias": (4,),
}
MOMENTS = ("inner_norm_mean", "inner_norm_var", "outer_norm_mean", "outer_norm_var")
OPERATIONS = pytest.mark.parametrize("operations", ["plain", "fast"])


def block_case():
    """Input, parameters (scales of both signs) and running statistics of one block of 4 channels."""
    params = {name: normal(*shape, seed=seed) for seed, (name, shape) in enumerate(BLOCK_SHAPES.items())}
    running = {name: np.abs(normal(4, seed=seed)) for seed, name in enumerate(MOMENTS, 20)}
    return 3 + 2 * normal(2, 7, 6, 4, seed=9), params, running


def numpy_block(x_BTWC, params, running=None):
    """The block by its formulas, normalised by a batch's statistics or the running ones, and what BatchNorm reads."""
    read = {}

    def normalised(h_BTWC, norm):
        flat_NC = read[norm] = h_BTWC.reshape(-1, 4)
        mean_C, var_C = flat_NC.mean(0), flat_NC.var(0)
        if running is not None:
            mean_C, var_C = running[f"{norm}_mean"], running[f"{norm}_var"]
        return (h_BTWC - mean_C) / np.sqrt(var_C + 1e-5) * params[f"{norm}_scale"] + params[f"{norm}_bias"]

    h_BTWC = plain_convolution(x_BTWC, params["depthwise_kernel"]) + params["depthwise_bias"]
    h_BTWC = normalised(np.where(h_BTWC < 0, 0.01 * h_BTWC, h_BTWC), "inner_norm")
    h_BTWC = np.maximum(h_BTWC @ params["pointwise_kernel"] + params["pointwise_bias"], 0)
    return normalised(h_BTWC, "outer_norm"), read


@OPERATIONS
def test_block_in_training(float64, operations):
    """Biased variance in use, unbiased in the running statistics, which move by a tenth."""
    x_BTWC, params, running = block_case()
    block = DwsBlock(4, kernel=3, dropout=0.0, compute=ComputeConfig(operations=operations))
    variables = {"params": params, "batch_stats": running}
    found, updates = block.apply(variables, x_BTWC, True, mutable=["batch_stats"])
    found = as_array(found)  # the fast form gives what the next block normalises
    expected, read = numpy_block(x_BTWC, params)
    assert_close(found, expected, 1e-10)
    assert set(updates["batch_stats"]) == set(MOMENTS)
    for norm, flat_NC in read.items():
        mean_C, var_C = (updates["batch_stats"][f"{norm}_{moment}"] for moment in ("mean", "var"))
        assert_close(mean_C, 0.9 * running[f"{norm}_mean"] + 0.1 * flat_NC.mean(0), 1e-10)
        assert_close(var_C, 0.9 * running[f"{norm}_var"] + 0.1 * flat_NC.var(0, ddof=1), 1e-10)


@OPERATIONS
def test_block_in_evaluation(float64, operations):
    x_BTWC, params, running = block_case()
    block = DwsBlock(4, kernel=3, compute=ComputeConfig(operations=operations))
    found = block.apply({"params": params, "batch_stats": running}, x_BTWC, False)
    assert_close(found, numpy_block(x_BTWC, params, running)[0], 1e-10)


def test_running_statistics_start_at_mean_0_and_variance_1():
    """Even where the block is initialised by a training call, whose batch is often a placeholder."""
    x_BTWC = 3 + normal(2, 3, 4, 5).astype(np.float32)
    running = DwsBlock(5, kernel=3, dropout=0.0).init(jax.random.key(0), x_BTWC, True)["batch_stats"]
    for norm in ("inner_norm", "outer_norm"):
        np.testing.assert_array_equal(running[f"{norm}_mean"], np.zeros(5))
        np.testing.assert_array_equal(running[f"{norm}_var"], np.ones(5))


@pytest.mark.parametrize("pool", [1, 2, 5])
def test_max_pool(pool):
    """The largest of each group; 13 frequencies leave some over."""
    x_BTWC = normal(2, 3, 13, 4).astype(np.float32)
    width = 13 // pool
    expected = np.stack([x_BTWC[:, :, pool * w : pool * (w + 1)].max(axis=2) for w in range(width)], axis=2)
    np.testing.assert_array_equal(max_pool_frequency(jnp.asarray(x_BTWC), pool), expected)


def test_gradient_of_max_pool(float64):
    """Equal largest values share it, others and those left over get none; here in groups of 5 of 13."""
    x_WC = jnp.array([[1.0, 7, 7, 0, 7, 2, 2, 2, 2, 2, 9, 9, 9]]).T
    _, pull = jax.vjp(lambda x_WC: max_pool_frequency(x_WC, 5), x_WC)
    grad_W = pull(jnp.array([[6.0], [10.0]]))[0][:, 0]
    np.testing.assert_array_equal(grad_W, [0, 2, 2, 0, 2] + [2] * 5 + [0] * 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_max_pool_loses_no_gradient(float64, dtype):
    """Oracle: a shift of all inputs shifts all outputs. The compiler may compute the input anew for the comparison."""
    x_BTWC, factor_C, offset_C = (jnp.asarray(array, dtype) for array in (normal(2, 20, 35, 8), normal(8), normal(8)))
    total = jax.jit(jax.value_and_grad(lambda x, f, o: jnp.sum(jnp.sin(max_pool_frequency(x * f + o, 5))), (0, 1, 2)))
    _, (grad_x_BTWC, _, grad_offset_C) = total(x_BTWC, factor_C, offset_C)
    pooled_BTWC = max_pool_frequency(x_BTWC * factor_C + offset_C, 5)
    expected_C = np.cos(pooled_BTWC).sum((0, 1, 2))
    assert_close(grad_offset_C, expected_C, 1e-5)
    assert_close(grad_x_BTWC.sum((0, 1, 2)), expected_C * factor_C, 1e-5)


def test_upsample_is_the_transposed_convolution(float64):
    """Position w adds x_w · kernel_p at 2w + p - 2, for the two p."""
    x_BTWC, kernel_C2C, bias_C = normal(2, 3, 6, 4), normal(4, 2, 4, seed=1), normal(4, seed=2)
    expected = np.zeros((2, 3, 8, 4)) + bias_C
    for w in range(6):
        for p in range(2):
            if 0 <= 2 * w + p - 2 < 8:
                expected[:, :, 2 * w + p - 2] += x_BTWC[:, :, w] @ kernel_C2C[:, p]
    found = Upsample().apply({"params": {"kernel": kernel_C2C, "bias": bias_C}}, x_BTWC).array()
    assert_close(found, expected, 1e-10)


def test_dropout_drops_whole_channels_in_training_alone():
    """A dropped channel is zero in one sequence throughout, a kept one is scaled by 1 / (1 - 0.5)."""
    x_BTWC = normal(4, 3, 10, 16).astype(np.float32)
    whole, dropping = (DwsBlock(16, kernel=1, pool=2, dropout=rate) for rate in (0.0, 0.5))
    variables = whole.init(jax.random.key(0), x_BTWC, False)
    train = {"mutable": ["batch_stats"], "rngs": {"dropout": jax.random.key(1)}}
    expected = np.asarray(as_array(whole.apply(variables, x_BTWC, True, **train)[0]))
    found = np.asarray(as_array(dropping.apply(variables, x_BTWC, True, **train)[0]))
    dropped_B11C = (found == 0).all(axis=(1, 2), keepdims=True)
    assert 0.3 < dropped_B11C.mean() < 0.7
    assert_close(found, np.where(dropped_B11C, 0, 2 * expected), 1e-6)
    np.testing.assert_array_equal(dropping.apply(variables, x_BTWC, False), whole.apply(variables, x_BTWC, False))


def test_initialisation():
    """Uniform in ±1/sqrt(fan_in), biases included: nothing beyond, and something in the outermost tenth."""
    block = DwsBlock(64, kernel=5).init(jax.random.key(0), jnp.zeros((1, 5, 5, 64)), False)["params"]
    upsample = Upsample().init(jax.random.key(0), jnp.zeros((1, 1, 4, 64)))["params"]
    for array, fan_in in [
        (block["depthwise_kernel"], 25),
        (block["depthwise_bias"], 25),
        (block["pointwise_kernel"], 64),
        (block["pointwise_bias"], 64),
        (upsample["kernel"], 2 * 64),
        (upsample["bias"], 2 * 64),
    ]:
        bound = 1 / np.sqrt(fan_in)
        assert np.abs(array).max() <= bound
        assert np.min(array) < -0.9 * bound
        assert np.max(array) > 0.9 * bound
