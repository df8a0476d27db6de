"""The arithmetic of a training, and double precision where it is needed.

Parameters, the optimiser, BatchNorm's statistics and the loss are float32 in any case (or wider, where the parameters
are). `bfloat16` is what is between them: kernels, activations and their gradients.
"""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp

from madsep_jax.config.run import ComputeConfig, Precision
from madsep_jax.errors import InputError
from madsep_jax.ops.choice import kind_of, target_of

_OF_PRODUCTS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}


def computing_in(compute: ComputeConfig, precision: Precision | None = None) -> AbstractContextManager[None]:
    """Let JAX trace matrix products and convolutions in a precision, by default that of the training.

    JAX's own default for float32 is tf32 on a GPU and one product of bfloat16 on a TPU. A precision that JAX itself has
    been told (`jax_default_matmul_precision`) goes before. Raises InputError where the target has no such arithmetic.
    """
    precision = precision or compute.precision
    if target_of(compute) == "cpu":
        if precision == "tf32":
            raise InputError("ComputeConfig.precision: found 'tf32', which a CPU does not have; expected 'float32'")
        return contextlib.nullcontext()
    if jax.config.jax_default_matmul_precision is not None:  # type: ignore[attr-defined]
        return contextlib.nullcontext()
    return jax.default_matmul_precision(_OF_PRODUCTS[precision])


def as_computed(tree: Any, precision: Precision) -> Any:
    """Return inputs or parameters as the model computes with them; BatchNorm's scales and biases stay as they are."""
    if precision != "bfloat16":
        return tree

    def cast(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        is_norm = any("norm" in str(getattr(key, "key", "")).lower() for key in path)
        return leaf if is_norm or not jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.astype(jnp.bfloat16)

    return jax.tree_util.tree_map_with_path(cast, tree)


def widened(tree: Any) -> Any:
    """Return arrays of 16 bits as float32, and others as they are."""

    def widen(leaf: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) if floating else leaf

    return jax.tree.map(widen, tree)


#: Kinds of devices that compute in float64; a TPU has no Fourier transform of it.
_IN_DOUBLE = ("cpu", "gpu")


def double_precision_device(own: jax.Device | None = None) -> jax.Device:
    """Return where this process computes in float64: on its `own` device, or on the host's CPU where that cannot.

    Its own one is by default where JAX puts arrays.

    Raises:
        InputError: where that cannot, and JAX has been told to use nothing else.
    """
    own = own or next(iter(jnp.zeros(()).devices()))
    if kind_of(own) in _IN_DOUBLE:
        return own
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        asked = jax.config.jax_platforms  # type: ignore[attr-defined]
        raise InputError(
            f"JAX_PLATFORMS={asked}: found no CPU beside the {own.platform.upper()}, which cannot compute scores in "
            f"float64; expected JAX_PLATFORMS={asked},cpu or none"
        ) from None


def double_precision(allowed: bool = True) -> AbstractContextManager[None]:
    """Let JAX compute in float64 inside a `with`, or not, in this thread only, by whichever name this JAX has for it.

    The setting of the rest of the process stays as it is. Arrays made inside keep their precision outside, so hand out
    NumPy arrays, or ones that were cast.
    """
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(allowed)
    from jax import experimental

    return experimental.enable_x64(allowed)  # type: ignore[attr-defined]
