"""Arrays of the host onto the devices of all processes."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding


def place_whole(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Put an array that every process has whole onto the devices; PRNG keys are arrays too."""

    def place(values: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return _with_keys(leaf, place)


def place_local(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Put an array of which every process has a part onto the devices."""
    return _with_keys(leaf, lambda values: jax.make_array_from_process_local_data(sharding, values))


def _with_keys(leaf: Any, place: Callable[[np.ndarray], jax.Array]) -> jax.Array:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(place(np.asarray(jax.random.key_data(leaf))), impl=jax.random.key_impl(leaf))
    return place(np.asarray(leaf))
