"""Which form of a block is the faster one on a CPU, by the size of its arrays and the processor's caches.

A block of V values (B · T · W · C of its depthwise output) is some dozens of passes over arrays of V. Either each pass
goes over all of it (`lean`), or all passes go over a few frames, then over the next ones (`fast_parts`):

- whole: passes · V / speed of the cache, or of memory, where two of the arrays lie that a pass reads and writes;
- chunks: passes · (V / speed of the second-level cache + chunks · time of one more operation), about 2 µs each.

The second-level cache is several times as fast as memory, but hardly faster than the last-level cache, and a chunk of a
few thousand values is done in less than the 2 µs. So whole arrays win as long as two of them fit into the last-level
cache. Measured on a processor with 32 MiB of it, two cores (time whole / chunks, forward and, at most, gradient): 0.17
and 0.37 for V = 2.0 M of 16 channels, 0.71 and 0.68 for 3.9 M of 32, 0.77 and 0.94 for 2.5 M of 64; but 1.4 and 1.2 for
6.3 M of 64. More than these 32 MiB are not counted: nothing larger has been measured, a virtual machine is told the
cache of cores that it does not have, and whole arrays take several times the memory of chunks.
"""

import functools
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MOST_BYTES = 32 * 2**20

#: What is taken for the last-level cache where the system does not tell.
_USUAL_BYTES = 8 * 2**20

_BYTES_OF_A_VALUE = 4


def goes_whole(values: int) -> bool:
    """Whether operations on arrays of so many values are to go over all of them at once.

    They are not where the batch is a symbol, in a program that is exported for any.
    """
    return isinstance(values, int) and 2 * _BYTES_OF_A_VALUE * values <= cache_bytes()


@functools.cache
def cache_bytes() -> int:
    """Return how much of the last-level cache there is for this process."""
    sizes = [path.read_text().strip() for path in _CACHES.glob("index*/size")]
    found = [int(size[:-1]) * 1024 for size in sizes if size.endswith("K") and size[:-1].isdecimal()]
    return min(max(found, default=_USUAL_BYTES), _MOST_BYTES)
