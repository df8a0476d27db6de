"""Batches on their way to the device, ahead of the step that takes them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax

Batch = TypeVar("Batch")

_AHEAD = 2


def prefetch_to_device(
    batches: Iterable[Batch], place: Callable[[Batch], Batch] = jax.device_put, ahead: int = _AHEAD
) -> Iterator[Batch]:
    """Yield the batches as arrays on the device, `ahead` of them under way; `place` puts one there."""
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append(place(batch))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
