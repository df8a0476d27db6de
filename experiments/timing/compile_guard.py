"""Whether JAX compiles where it must not."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.monitoring

_COMPILED = "/jax/core/compile/backend_compile_duration"


class CompiledWhileTimedError(Exception):
    """A timed step compiled something, so that its time is none of a step."""


@contextmanager
def no_compilation(what: str) -> Iterator[None]:
    """Raise `CompiledWhileTimedError` after the `with` where JAX has compiled within it."""
    count = _counter()
    before = count[0]
    yield
    if count[0] != before:
        raise CompiledWhileTimedError(f"{what}: {count[0] - before} programs were compiled in a timed step")


@functools.cache
def _counter() -> list[int]:
    """Return the number of programs compiled since the first call, as a list that is kept up to date."""
    count = [0]

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == _COMPILED:
            count[0] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    return count
