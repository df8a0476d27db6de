"""Batches on their way to the device, ahead of the step that takes them."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import jax

Batch = TypeVar("Batch")

_AHEAD = 2


def prefetch_to_device(batches: Iterable[Batch], sharding: Any = None, ahead: int = _AHEAD) -> Iterator[Batch]:
    """Yield the batches as arrays on the device, `ahead` of them under way; `sharding` as `jax.device_put` takes it."""
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append(jax.device_put(batch, sharding))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
