"""Batches on their way to the device, ahead of the step that takes them, and how long that waits for them."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

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


class TimedBatches(Generic[Batch]):
    """The same batches, with the seconds that passed between asking for each and having it."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        """Take the batches; none is asked for yet."""
        self._batches = iter(batches)
        self.wait_s: deque[float] = deque()
        """Of each batch, in order, until somebody takes it out."""

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        start = time.perf_counter()
        batch = next(self._batches)
        self.wait_s.append(time.perf_counter() - start)
        return batch
