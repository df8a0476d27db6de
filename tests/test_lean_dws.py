"""The depthwise-separable block for GPUs. Oracle: the plain form, every value and gradient, float64, 1e-10.

Both what defines its parts, which runs on a CPU, and its Pallas kernels, interpreted.
"""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_dws import (
    assert_equal_overall,
    assert_equal_trees,
    block_parameters,
    given_moments,
    kept_factors,
    normal,
    value_and_gradients,
)

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.choice import takes_triton
from madsep_jax.ops.dws import cost, cpu_parts, gpu_products, gpu_taps, lean, lean_parts
from madsep_jax.ops.dws.block import dws_block, dws_blocks
from madsep_jax.ops.dws.cost import goes_whole
from madsep_jax.ops.dws.form import evaluate_block, evaluate_blocks, train_block, train_blocks
from madsep_jax.ops.dws.lazy import Normalised, Upsampled
from madsep_jax.ops.dws.lean import lean_dws_block
from madsep_jax.ops.shared_batch import DATA_AXIS

PLAIN, LEAN = (ComputeConfig(operations=form, target="gpu") for form in ("plain", "fast"))


@pytest.fixture(params=["defined", "cpu", "kernels"])
def parts(request, monkeypatch):
    """The parts of the block: what defines them, their form on a CPU, or the interpreted kernels."""
    modules = {"defined": (), "cpu": (cpu_parts,), "kernels": (gpu_taps, gpu_products)}[request.param]
    for module in modules:
        monkeypatch.setattr(module, "CALL", {"interpret": True}, raising=False)
    run = lambda part, kernels, *given, **static: lean_parts._of(part, *modules)(*given, **static)  # noqa: E731
    monkeypatch.setattr(lean, "by_device", run)
    return request.param


def plain_block(parameters, x_BTWC, kept_BC=None, **options):
    return dws_block(parameters, x_BTWC, None, kept_BC, **options)


@pytest.mark.parametrize(
    ("batch", "frames", "width", "channels_in", "side", "pool", "dilation"),
    [
        pytest.param(2, 5, 11, 3, 3, 1, 1, marks=pytest.mark.thorough),
        (2, 5, 7, 3, 3, 5, 2),
        pytest.param(2, 3, 13, 1, 5, 5, 1, marks=pytest.mark.thorough),
        pytest.param(1, 1, 9, 3, 5, 1, 3, marks=pytest.mark.thorough),
        pytest.param(3, 11, 10, 3, 1, 5, 1, marks=pytest.mark.thorough),
    ],
)
def test_block(float64, parts, batch, frames, width, channels_in, side, pool, dilation):
    """Odd sizes, a kernel larger than its input, one channel for all, frequencies that pooling leaves over."""
    x_BTWC = normal(batch, frames, width, channels_in)
    arguments = block_parameters(3, side), x_BTWC, kept_factors(batch, 3)
    options = {"pool": pool, "dilation": dilation}
    found, expected = (value_and_gradients(form, *arguments, **options) for form in (lean_dws_block, plain_block))
    compare = assert_equal_overall if frames == 1 else assert_equal_trees
    compare(found, expected)


@pytest.mark.thorough
def test_block_of_many_positions_and_channels(float64, parts):
    """Several tiles of positions and of channels in each product, the last ones not full."""
    arguments = block_parameters(70, 3), normal(2, 5, 17, 70), kept_factors(2, 70)
    for pool in (1, 5):
        found, expected = (value_and_gradients(form, *arguments, pool=pool) for form in (lean_dws_block, plain_block))
        assert_equal_trees(found, expected)


def test_block_after_another_and_without_dropout(float64, parts):
    """Oracle: the block after the whole normalised array; gradients of its factors and offsets included."""
    source = Normalised(normal(2, 5, 7, 3), normal(2, 3, seed=2), normal(2, 3, seed=3))

    def plain(parameters, source):
        return plain_block(parameters, source.array())

    arguments = block_parameters(3, 3), source
    assert_equal_trees(*(value_and_gradients(form, *arguments) for form in (lean_dws_block, plain)))


@pytest.mark.parametrize(
    ("dilations", "residual", "blocks"),
    [
        ((1,), False, "scanned"),
        ((2,), False, "unrolled"),
        pytest.param((1,), True, "scanned", marks=pytest.mark.thorough),
        pytest.param((1, 2), False, "scanned", marks=pytest.mark.thorough),
    ],
)
def test_blocks(float64, dilations, residual, blocks):
    arguments = block_parameters(3, 3, 3), normal(2, 5, 7, 3), kept_factors(3, 2, 3)

    def of(operations):
        compute = ComputeConfig(operations=operations, target="gpu", blocks=blocks)
        form = functools.partial(train_blocks, compute=compute, dilations=dilations, residual=residual)
        return value_and_gradients(form, *arguments)

    assert_equal_trees(of("fast"), of("plain"))


def test_evaluation(float64):
    """One block after upsampling, with pooling, and several residual ones."""
    upsampling = Upsampled(normal(2, 5, 7, 3), normal(3, 2, 3, seed=2), normal(3, seed=3))
    given = block_parameters(3, 3), upsampling, given_moments(3)
    assert_equal_trees(*(evaluate_block(*given, compute, pool=5) for compute in (LEAN, PLAIN)))
    given, form = (block_parameters(3, 3, 2), normal(2, 5, 7, 3), given_moments(3, 2)), {"dilations": (1, 2)}
    form |= {"residual": True, "unrolled": False}
    assert_equal_trees(evaluate_blocks(*given, LEAN, **form), dws_blocks(*given, **form)[0])


@pytest.mark.thorough
def test_a_batch_that_devices_share(float64, parts):
    """Oracle: the whole batch. Two halves, mapped under the name of the axis; gradients of each are added up."""
    parameters, x_BTWC, kept_BC = block_parameters(3, 3), normal(4, 5, 7, 3), kept_factors(4, 3)
    weights_BTWC = normal(4, 5, 7, 3, seed=9)

    def total(parameters, x_BTWC, kept_BC, weights_BTWC):
        y, moments = lean_dws_block(parameters, x_BTWC, kept_BC)
        return jnp.sum(weights_BTWC * y.array()), moments

    differentiate = jax.grad(total, argnums=(0, 1), has_aux=True)
    whole = differentiate(parameters, x_BTWC, kept_BC, weights_BTWC)
    halves = [array.reshape(2, 2, *array.shape[1:]) for array in (x_BTWC, kept_BC, weights_BTWC)]
    (gradients, grad_x), moments = jax.vmap(differentiate, (None, 0, 0, 0), axis_name=DATA_AXIS)(parameters, *halves)
    summed = jax.tree.map(lambda leaf: leaf.sum(0), gradients)
    found = (summed, grad_x.reshape(x_BTWC.shape)), jax.tree.map(lambda leaf: leaf[0], moments)
    assert_equal_trees(found, whole)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_moments_of_values_far_from_zero(parts, mean):
    """Oracle: NumPy in float64; float32, 1e-4. Each channel's values differ by 1 about a mean of up to 1000."""
    a_BTWC = mean + np.abs(np.asarray(normal(2, 5, 7, 3), np.float32)) + np.float32(1)
    identity, zeros = jnp.eye(3, dtype=jnp.float32), jnp.zeros(3, jnp.float32)
    mixed = lean.by_device("mixed", True, jnp.asarray(a_BTWC, jnp.float32), identity, zeros, zeros + 1, pool=1)
    for found, expected in zip(mixed[1], (np.mean, np.var), strict=True):
        values = expected(np.asarray(mixed[0], np.float64), (0, 1, 2))
        np.testing.assert_allclose(found, values, rtol=1e-4)


@pytest.mark.parametrize("pool", [pytest.param(1, marks=pytest.mark.thorough), 5])
def test_activations_of_16_bits(parts, pool):
    """Oracle: the plain form in float32. No farther from it than twice what the plain form in bfloat16 is.

    Parameters' gradients keep their types. Values are taken together: their mean distance, of each array.
    """
    single = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), (block_parameters(8, 3), normal(2, 9, 15, 8), kept_factors(2, 8))
    )
    norms = ("inner_scale_C", "inner_bias_C", "outer_scale_C", "outer_bias_C")
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), single)
    half = (half[0]._replace(**{name: getattr(single[0], name) for name in norms}), *half[1:])

    def of(arguments, compute):
        form = functools.partial(train_block, compute=compute, pool=pool)
        y, moments, gradients = value_and_gradients(form, *arguments)
        return y, moments, (gradients[0]._replace(outer_scale_C=0, outer_bias_C=0), *gradients[1:])

    exact, plain, found = of(single, PLAIN), of(half, PLAIN), of(half, LEAN)
    assert jax.tree.map(jnp.result_type, found) == jax.tree.map(jnp.result_type, plain)

    def distance(tree):
        return jax.tree.map(
            lambda leaf, exact: np.mean(np.abs(np.asarray(leaf, np.float64) - exact)) / np.mean(np.abs(exact) + 1e-6),
            tree,
            jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), exact),
        )

    for ours, theirs in zip(jax.tree.leaves(distance(found)), jax.tree.leaves(distance(plain)), strict=True):
        assert ours <= 2 * theirs + 5e-3


@pytest.mark.parametrize(
    ("backend", "capability", "triton"),
    [("cpu", "", True), ("gpu", "7.5", False), ("gpu", "8.0", True), ("gpu", "12.0", True), ("gpu", "gfx90a", False)],
)
def test_which_gpus_get_kernels(monkeypatch, backend, capability, triton):
    """By hand: NVIDIA's from 8.0 on, and one that is compiled for from elsewhere; a setting goes first."""
    device = types.SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    assert takes_triton(LEAN) is triton
    for given in ("triton", "xla"):
        assert takes_triton(dataclasses.replace(LEAN, kernels=given)) is (given == "triton")


@pytest.mark.parametrize("kernels", ["triton", "xla"])
def test_kernels_are_traced_where_they_are_taken(kernels):
    compute = dataclasses.replace(LEAN, kernels=kernels)

    def total(parameters, x_BTWC):
        block, _ = train_block(parameters, x_BTWC, None, compute, pool=1)
        parameters_L = jax.tree.map(lambda x: x[None], parameters)
        blocks, _ = train_blocks(parameters_L, block, None, compute, dilations=(1,), residual=False)
        return blocks.array().sum()

    given = block_parameters(3, 3), normal(2, 5, 7, 3)
    assert ("pallas_call" in str(jax.make_jaxpr(jax.grad(total))(*given))) is (kernels == "triton")


@pytest.mark.parametrize(
    ("channels_in", "width", "pool", "side"),
    [
        (1, 15, 5, 5),
        pytest.param(1, 7, 5, 3, marks=pytest.mark.thorough),
        pytest.param(17, 9, 1, 3, marks=pytest.mark.thorough),
    ],
)
def test_small_arrays_on_a_cpu(float64, channels_in, width, pool, side):
    """Trained and evaluated, one block and several. 31 frames: two chunks of the kernel's gradient, one with fill."""
    channels = max(channels_in, 3)
    given, x_BTWC = (block_parameters(channels, side), kept_factors(2, channels)), normal(2, 31, width, channels_in)
    moments = given_moments(channels)
    of_cpu, defined = (ComputeConfig(operations=form, target="cpu") for form in ("fast", "plain"))
    assert goes_whole(2 * 31 * width * channels)
    assert_equal_trees(*(evaluate_block(given[0], x_BTWC, moments, of, pool=pool) for of in (of_cpu, defined)))

    def train(compute):
        def form(parameters, x_BTWC, kept_BC):
            return train_block(parameters, x_BTWC, kept_BC, compute, pool=pool)

        return value_and_gradients(form, given[0], x_BTWC, given[1])

    assert_equal_trees(train(of_cpu), train(defined))


def test_whole_arrays_as_long_as_two_fit_into_the_cache(tmp_path, monkeypatch):
    """Oracle: sizes as Linux writes them. 32 MiB are 2 × 4 Mi values; nothing told: 8 MiB."""
    monkeypatch.setattr(cost, "_CACHES", tmp_path)
    for written, expected in (("", 2**23), ("32768K", 2**25), ("1048576K", 2**25)):
        (tmp_path / "index3").mkdir(exist_ok=True)
        (tmp_path / "index3" / "size").write_text(f"{written}\n")
        cost.cache_bytes.cache_clear()
        assert cost.cache_bytes() == expected
        assert (goes_whole(expected // 8), goes_whole(expected // 8 + 1)) == (True, False)
    cost.cache_bytes.cache_clear()
