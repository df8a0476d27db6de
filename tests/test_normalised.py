"""Arrays that are normalised when they are read. Oracle: the array itself; tolerance 1e-12 (float64)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from madsep_jax.ops.dws.chunks import FrameChunks
from madsep_jax.ops.dws.lazy import Held, Normalised
from madsep_jax.ops.dws.margins import Margins


@pytest.fixture
def array():
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        yield Normalised(*(jnp.asarray(rng.standard_normal(shape)) for shape in ((2, 7, 3, 4), (2, 4), (2, 4))))


def held_by(array, chunks, first_item):
    """The array, which lies as an item of a larger buffer; its own z is then not to be read."""
    margins = Margins(side=5)
    items = first_item + len(array.z_BTWC)
    buffer = jnp.full(margins.shape(items, chunks, *array.shape[2:]), jnp.nan)
    for b, z_TWC in enumerate(array.z_BTWC):
        first = (first_item + b) * chunks.filled_frames + margins.frames
        buffer = buffer.at[first : first + len(z_TWC), margins.bins : -margins.bins].set(z_TWC)
    return array._replace(held=Held(buffer, margins, chunks.filled_frames, first_item))


def read_all(array, chunks):
    _, x_KRWC = chunks.scan(lambda carry, chunk: (carry, array.read(chunks, chunk)), None)
    return x_KRWC.reshape(chunks.batch, -1, *x_KRWC.shape[2:])[:, : chunks.frames]


@pytest.mark.parametrize("filled_frames", [8, 9])
def test_it_is_read_as_the_normalised_array(array, filled_frames):
    """From the buffer that holds it where both are filled alike, from its own z where they are not."""
    expected = array.z_BTWC * array.factor_BC[:, None, None] + array.offset_BC[:, None, None]
    chunks = FrameChunks(batch=2, frames=7, rows=2, filled_frames=8)
    held = held_by(array, FrameChunks(batch=2, frames=7, rows=2, filled_frames=filled_frames), first_item=1)
    held = held._replace(z_BTWC=jnp.full_like(array.z_BTWC, jnp.nan)) if filled_frames == 8 else held.filled(chunks)
    np.testing.assert_allclose(read_all(held, chunks), expected, rtol=1e-12)
    np.testing.assert_allclose(array.array(), expected, rtol=1e-12)


def test_an_array_is_normalised_by_one_and_zero(array):
    same = Normalised.of(array.z_BTWC)
    np.testing.assert_array_equal(same.array(), array.z_BTWC)
    assert Normalised.of(array) is array
