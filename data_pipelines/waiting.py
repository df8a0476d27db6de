"""How long what takes the batches waits for them."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


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
