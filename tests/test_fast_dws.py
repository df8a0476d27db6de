"""The fast forms of the depthwise-separable block. Oracle: the plain form, every value and gradient, float64, 1e-10.

1e-10 is a share of the largest value of each array. All inputs are cut into several chunks and tiles, see
`small_dws.small_chunks`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_dws import (
    assert_equal_overall,
    assert_equal_trees,
    block_parameters,
    given_moments,
    kept_factors,
    normal,
    small_chunks,
    value_and_gradients,
)
from tiny import enable_float64

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.dws import fast_parts as parts
from madsep_jax.ops.dws.block import dws_block, dws_blocks
from madsep_jax.ops.dws.chunks import FrameChunks, position_sums, weighted_sum
from madsep_jax.ops.dws.depthwise_rows import frequency_tiles, kernel_gradient
from madsep_jax.ops.dws.fast_blocks import fast_dws_blocks
from madsep_jax.ops.dws.fast_first import fast_first_block
from madsep_jax.ops.dws.fast_parts import BlockInput
from madsep_jax.ops.dws.fast_pooled import fast_dws_block
from madsep_jax.ops.dws.folded import folded_block, folded_blocks
from madsep_jax.ops.dws.form import train_blocks
from madsep_jax.ops.dws.lazy import Upsampled
from madsep_jax.ops.dws.margins import Margins


def further(*cases):
    return [pytest.param(*case, marks=pytest.mark.thorough) for case in cases]


@pytest.fixture(scope="module", autouse=True)
def chunks():
    with small_chunks():
        yield


def plain_block(parameters, x_BTWC, kept_BC=None, **options):
    return dws_block(parameters, x_BTWC, None, kept_BC, **options)


def plain_first_block(parameters, mag_BSF, kept_BC=None, **options):
    return dws_block(parameters, mag_BSF[..., None], None, kept_BC, **options)


def plain_blocks(parameters_L, x_BTWC, kept_LBC, **options):
    return dws_blocks(parameters_L, x_BTWC, None, kept_LBC, **options)


def block_arguments(batch, frames, width, channels, side):
    return block_parameters(channels, side), normal(batch, frames, width, channels), kept_factors(batch, channels)


def blocks_arguments(layers, batch, frames, width, channels, side):
    parameters_L = block_parameters(channels, side, layers)
    return parameters_L, normal(batch, frames, width, channels), kept_factors(layers, batch, channels)


def test_the_inputs_here_have_several_chunks_and_tiles():
    """11 frames of 7 × 3: chunks of 2, the last one with fill, put together to 4; and two tiles."""
    chunks = parts.cut(2, 11, 7 * 3)
    assert (chunks.rows, chunks.per_sequence, chunks.has_fill) == (2, 6, True)
    assert (chunks.coarse(parts.PRODUCT_ROWS).rows, chunks.filled_frames) == (4, 12)
    start_J, counted_JW = frequency_tiles(7, 3)
    np.testing.assert_array_equal(start_J, [0, 3])
    np.testing.assert_array_equal(counted_JW, [[True] * 4, [False] + [True] * 3])


@pytest.mark.thorough
@settings(max_examples=20)
@given(
    st.integers(1, 9), st.integers(1, 13), st.integers(1, 30), st.integers(1, 5), st.sampled_from([1, 3, 5]),
    st.integers(1, 3),
)  # fmt: skip
def test_kernel_gradient_of_any_shape(rows, frames, width, channels, side, dilation):
    """Oracle: the sum over all positions, one kernel element after the other."""
    with enable_float64():
        margins, chunks = Margins(side, dilation), FrameChunks.of_size(2, frames, 1, rows, rows)
        x_BTWC = np.asarray(normal(2, frames, width, channels))
        grad_BTWC = np.asarray(normal(2, frames, width, channels, seed=2))
        around = ((0, 0), (margins.frames,) * 2, (margins.bins,) * 2, (0, 0))
        padded_BTWC, expected_KKC = np.pad(x_BTWC, around), np.zeros((side, side, channels))
        for i, j in np.ndindex(side, side):
            read_BTWC = padded_BTWC[:, i * dilation : i * dilation + frames, j : j + width]
            expected_KKC[i, j] = (read_BTWC * grad_BTWC).sum((0, 1, 2))

        block_input = BlockInput(margins.fill(jnp.asarray(x_BTWC), chunks), margins, chunks)
        filled_BTWC = chunks.filled(jnp.asarray(grad_BTWC))

        def read(chunk):
            return block_input.read_around(chunk), chunks.read(filled_BTWC, chunk)

        found_KKC = kernel_gradient(jnp.zeros_like(expected_KKC), read, chunks, width, dilation)
        assert_equal_overall(found_KKC, expected_KKC)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1, 1), (2, 1, 1, 2, 5, 3), (4, 13, 30, 5, 3, 2)])
def test_kernel_gradient(shape):
    """A single value, a kernel larger than its input, and one with several tiles."""
    test_kernel_gradient_of_any_shape.hypothesis.inner_test(*shape)


@pytest.mark.parametrize(("rows", "width", "channels"), [(1, 1, 1), (7, 13, 4)])
def test_weighted_and_position_sums(rows, width, channels):
    """Oracle: NumPy's product and sum."""
    with enable_float64():
        x_RWC = normal(rows, width, channels)
        assert_equal_overall(position_sums(x_RWC), np.asarray(x_RWC).sum((0, 1)))
        weight_R = normal(rows)
        assert_equal_overall(weighted_sum(weight_R, x_RWC[:, 0]), np.asarray(weight_R) @ np.asarray(x_RWC[:, 0]))


@pytest.mark.parametrize(
    ("side", "pool", "dilation"),
    [(1, 1, 1), (3, 5, 2), (5, 1, 1), *further((3, 1, 1), (3, 5, 1), (3, 1, 2), (5, 1, 2), (5, 5, 1))],
)
def test_block(float64, side, pool, dilation):
    """11 frames, which no chunk divides; 7 frequencies, of which pooling leaves 2 over."""
    arguments = block_arguments(2, 11, 7, 3, side)
    options = {"pool": pool, "dilation": dilation}
    found, expected = (value_and_gradients(form, *arguments, **options) for form in (fast_dws_block, plain_block))
    assert_equal_trees(found, expected)


@pytest.mark.thorough
@settings(max_examples=20)
@given(
    st.integers(1, 3),
    st.sampled_from([1, 2, 5, 6, 13]),
    st.integers(1, 13),
    st.integers(1, 4),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 5]),
    st.integers(1, 3),
)
def test_block_of_any_shape(batch, frames, width, channels, side, pool, dilation):
    with enable_float64():
        arguments = block_arguments(batch, frames, max(width, pool), channels, side)
        options = {"pool": pool, "dilation": dilation}
        found, expected = (value_and_gradients(form, *arguments, **options) for form in (fast_dws_block, plain_block))
        assert_equal_overall(found, expected)


def test_a_block_of_one_frame_whose_kernel_is_larger():
    test_block_of_any_shape.hypothesis.inner_test(1, 1, 1, 1, 5, 1, 3)


def upsampled(batch, frames, width, channels):
    """What makes an input of 2 · width - 4 frequencies."""
    kernel_C2C, bias_C = normal(channels, 2, channels, seed=2), normal(channels, seed=3)
    return Upsampled(normal(batch, frames, width, channels), kernel_C2C, bias_C)


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(1, 2), st.sampled_from([1, 5, 11]), st.integers(3, 7), st.integers(1, 3), st.sampled_from([1, 5]))
def test_block_after_upsampling_of_any_shape(batch, frames, width, channels, pool):
    """Gradients of the upsampling's input, kernel and bias included. Oracle: the block after the whole array."""
    pool = pool if 2 * width - 4 >= pool else 1

    def plain(parameters, source, kept_BC, **options):
        return plain_block(parameters, source.array(), kept_BC, **options)

    with enable_float64():
        source = upsampled(batch, frames, width, channels)
        arguments = block_parameters(channels, 3), source, kept_factors(batch, channels)
        found, expected = (value_and_gradients(form, *arguments, pool=pool) for form in (fast_dws_block, plain))
        assert_equal_overall(found, expected)
        moments = given_moments(channels)
        expected_BTWC = dws_block(arguments[0], source.array(), moments, pool=pool)[0]
        assert_equal_overall(folded_block(arguments[0], source, moments, pool=pool), expected_BTWC)


def test_block_after_upsampling():
    """10 frequencies of 7, in two pools; 5 frames, which no chunk divides."""
    test_block_after_upsampling_of_any_shape.hypothesis.inner_test(2, 5, 7, 3, 5)


@pytest.mark.parametrize(
    ("layers", "dilation", "unrolled"),
    [(3, 2, False), (2, 1, True), *further((1, 1, False), (3, 1, False), (3, 1, True), (2, 2, True))],
)
def test_blocks(float64, layers, dilation, unrolled):
    arguments = blocks_arguments(layers, 2, 11, 7, 3, 3)
    found = value_and_gradients(lambda *given: fast_dws_blocks(*given, dilation, unrolled), *arguments)
    assert_equal_trees(found, value_and_gradients(plain_blocks, *arguments, dilations=(dilation,), unrolled=unrolled))


@pytest.mark.thorough
@settings(max_examples=20)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 5, 6, 13]),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([1, 3, 5]),
)
def test_blocks_of_any_shape(layers, batch, frames, width, channels, side):
    with enable_float64():
        arguments = blocks_arguments(layers, batch, frames, width, channels, side)
        found = value_and_gradients(lambda *given: fast_dws_blocks(*given, 1, False), *arguments)
        assert_equal_overall(found, value_and_gradients(plain_blocks, *arguments))


def test_blocks_of_one_frame_whose_kernel_is_larger():
    test_blocks_of_any_shape.hypothesis.inner_test(2, 1, 1, 1, 1, 5)


def test_blocks_mapped_over_seeds(float64):
    """All arguments with a further axis, as for a batch of seeds: value and gradients are those of each alone."""
    x_BTWC, kept_LBC = blocks_arguments(2, 2, 7, 7, 3, 3)[1:]
    seeds = [(block_parameters(3, 3, 2, seed), (1 + seed) * x_BTWC + seed, kept_LBC) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    fast = lambda *given: fast_dws_blocks(*given, 1, False)  # noqa: E731
    found = jax.vmap(lambda *given: value_and_gradients(fast, *given))(*stacked)
    alone = [value_and_gradients(fast, *given) for given in seeds]
    assert_equal_trees(found, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone))


@pytest.mark.parametrize(("side", "pool"), [(3, 1), (5, 5), *further((1, 5), (3, 5))])
def test_first_block(float64, side, pool):
    """By the parameters, the magnitudes and the dropout's factors; and without the magnitudes, as in training."""
    parameters, kept_BC = block_parameters(4, side), kept_factors(2, 4)
    mag_BSF = jnp.square(normal(2, 5, 13))
    forms = fast_first_block, plain_first_block
    found, expected = (value_and_gradients(form, parameters, mag_BSF, kept_BC, pool=pool) for form in forms)
    assert_equal_trees(found, expected)
    found, expected = (
        value_and_gradients(lambda parameters, form=form: form(parameters, mag_BSF, kept_BC, pool=pool), parameters)
        for form in forms
    )
    assert_equal_trees(found, expected)


@pytest.mark.thorough
@settings(max_examples=20)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(5, 13),
    st.integers(1, 4),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
)
def test_first_block_of_any_shape(batch, frames, width, channels, side, pooled):
    with enable_float64():
        arguments = (
            block_parameters(channels, side),
            jnp.square(normal(batch, frames, width)),
            kept_factors(batch, channels),
        )
        forms, options = (fast_first_block, plain_first_block), {"pool": 5 if pooled else 1}
        assert_equal_overall(*(value_and_gradients(form, *arguments, **options) for form in forms))


def test_a_first_block_of_one_frame_whose_kernel_is_larger():
    test_first_block_of_any_shape.hypothesis.inner_test(1, 1, 5, 1, 5, True)


@pytest.mark.parametrize("first", [False, True])
def test_blocks_without_dropout(float64, first):
    parameters, x_BTWC, _ = block_arguments(2, 5, 7, 3, 3)
    forms = (fast_first_block, plain_first_block) if first else (fast_dws_block, plain_block)
    x = jnp.square(x_BTWC[..., 0]) if first else x_BTWC
    assert_equal_trees(*(value_and_gradients(form, parameters, x, pool=5) for form in forms))


@pytest.mark.parametrize(("dilations", "residual"), [((1,), True), ((1, 2), False)])
def test_blocks_one_by_one(float64, dilations, residual):
    """Residual blocks, and such of several dilations."""
    arguments = blocks_arguments(3, 2, 5, 7, 3, 3)
    form = {"dilations": dilations, "residual": residual}
    fast, plain = (
        value_and_gradients(lambda *given, of=of: train_blocks(*given, of, **form), *arguments)
        for of in (ComputeConfig(operations="fast"), ComputeConfig(operations="plain"))
    )
    assert_equal_trees(fast, plain)


@pytest.mark.parametrize("first", [False, True])
def test_equal_largest_values_share_the_gradient(float64, first):
    """A kernel of one element maps equal inputs to equal outputs, of which no one may take the whole gradient."""
    values = np.repeat(normal(2, 5, 5, 3), [2, 3, 5, 1, 4], axis=2)  # three groups of 5: 2 + 3, 5, 1 + 4
    x = jnp.asarray(values[..., 0] if first else values)
    forms = (fast_first_block, plain_first_block) if first else (fast_dws_block, plain_block)
    arguments = block_parameters(3, 1), x, kept_factors(2, 3)
    found, expected = (value_and_gradients(form, *arguments, pool=5) for form in forms)
    assert_equal_trees(found, expected)
    for _, _, (_, grad_x, _) in (found, expected):
        assert np.any(grad_x[:, :, 5])
        for part in (slice(0, 2), slice(2, 5), slice(5, 10), slice(11, 15)):
            same = np.asarray(grad_x[:, :, part])
            np.testing.assert_allclose(same, np.broadcast_to(same[:, :, :1], same.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("channels_in", "pool"), [(1, 1), (1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("side", [1, 5])
def test_block_in_evaluation(float64, channels_in, pool, side):
    arguments = block_parameters(3, side), normal(2, 11, 7, channels_in), given_moments(3)
    found = jax.jit(lambda *given: folded_block(*given, pool=pool))(*arguments)
    assert_equal_trees(found, dws_block(*arguments, pool=pool)[0])


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("dilations", "unrolled"), [((1,), False), ((1,), True), ((2,), False), ((1, 3), False)])
def test_blocks_in_evaluation(float64, residual, dilations, unrolled):
    arguments = block_parameters(3, 3, 3), normal(2, 11, 7, 3), given_moments(3, 3)
    options = {"dilations": dilations, "residual": residual, "unrolled": unrolled}
    found = jax.jit(lambda *given: folded_blocks(*given, **options))(*arguments)
    assert_equal_trees(found, dws_blocks(*arguments, **options)[0])
