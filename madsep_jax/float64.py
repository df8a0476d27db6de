"""Double precision where it is needed, and nowhere else."""

from contextlib import AbstractContextManager

import jax


def double_precision() -> AbstractContextManager[None]:
    """Let JAX compute in float64 inside a `with`, in this thread only, by whichever name this JAX has for it.

    The setting of the rest of the process stays as it is. Arrays made inside keep their precision outside, so hand out
    NumPy arrays, or ones that were cast.
    """
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax import experimental

    return experimental.enable_x64(True)  # type: ignore[attr-defined]
