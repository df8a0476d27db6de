"""The same arithmetic on both sides."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import jax

from experiments.timing.cases import Precision
from madsep_jax.errors import InputError


@contextlib.contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Let JAX trace and compile in a precision.

    float32 is that in matrix products and convolutions too, where JAX's default on a GPU is tf32.

    Raises:
        InputError: where the backend has no such arithmetic.
    """
    backend = jax.default_backend()
    if precision == "tf32" and backend == "cpu":
        raise InputError("--precisions: found 'tf32', which a CPU does not have; expected 'float32' or 'float64'")
    if precision == "float64" and backend == "tpu":
        raise InputError("--precisions: found 'float64', which a TPU does not have; expected 'float32'")
    with contextlib.ExitStack() as stack:
        if precision == "float64":
            stack.enter_context(enable_float64(True))
        elif backend != "cpu":
            stack.enter_context(jax.default_matmul_precision("highest" if precision == "float32" else "tensorfloat32"))
        yield


def enable_float64(enabled: bool) -> AbstractContextManager[None]:
    """Allow double precision inside a `with`, or not, by whichever name this JAX has for it."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(enabled)
    from jax import experimental

    return experimental.enable_x64(enabled)  # type: ignore[attr-defined]
