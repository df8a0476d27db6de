"""What is measured of each step: time, waiting, throughput, memory."""

import time
from collections import deque
from collections.abc import Iterator, Sequence

import jax

from experiments.process_memory import process_memory

#: What a line of the log has that is measured, and so differs from run to run of the same training.
MEASURED = (
    "step_s",
    "input_wait_s",
    "sequences_per_s",
    "device_memory_bytes",
    "device_peak_bytes",
    "process_memory_bytes",
    "process_peak_bytes",
)


class CallMeter:
    """Measures the calls of a program as they are reported; the steps of a call share what it took equally."""

    def __init__(self, sizes: Iterator[int], batch_size: int, devices: Sequence[jax.Device]) -> None:
        """Take how many steps each call does, how many sequences a step takes, and this process's devices."""
        self._sizes, self._batch_size, self._devices = sizes, batch_size, devices
        self._left = 0
        self._values: dict[str, float] = {}
        self._last = time.perf_counter()

    def restart(self) -> None:
        """Do not count the time since the last report: something else was done."""
        self._last = time.perf_counter()

    def next_step(self, wait_s: deque[float]) -> tuple[dict[str, float], int]:
        """Return the measured values of the next step, and how many steps its call does where it is the first of them.

        Args:
            wait_s: what the calls have waited for their batches; that of this call is taken out.
        """
        size = 0
        if not self._left:
            size = self._left = next(self._sizes)
            now = time.perf_counter()
            step_s = (now - self._last) / size
            self._last = now
            self._values = {
                "step_s": step_s,
                "input_wait_s": wait_s.popleft() / size,
                "sequences_per_s": self._batch_size / step_s,
                **memory_in_use(self._devices),
            }
        self._left -= 1
        return self._values, size


def memory_in_use(devices: Sequence[jax.Device]) -> dict[str, float]:
    """Return the memory in use and its peak, in bytes: of the fullest device, or of the process where none tells."""
    stats = [found for device in devices if (found := device.memory_stats())]
    if stats:
        names = {"device_memory_bytes": "bytes_in_use", "device_peak_bytes": "peak_bytes_in_use"}
        return {name: max(of_one[key] for of_one in stats) for name, key in names.items() if key in stats[0]}
    found = process_memory()
    now = {} if found.now is None else {"process_memory_bytes": found.now}
    return {**now, "process_peak_bytes": found.peak}
