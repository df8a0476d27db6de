"""Memory: what this process holds, what the C library keeps of what is freed, and whether something fits."""

import ctypes
import resource
import sys
from pathlib import Path
from typing import NamedTuple

_STATUS, _MEMINFO = Path("/proc/self/status"), Path("/proc/meminfo")


class ProcessMemory(NamedTuple):
    """Resident memory, in bytes."""

    now: int | None
    """None where the system does not tell."""
    peak: int


def process_memory() -> ProcessMemory:
    """Return the memory of this process, now and at its most."""
    if _STATUS.is_file():  # where `getrusage` would count in what the parent had before the program began
        return ProcessMemory(_bytes_of(_STATUS, "VmRSS"), _bytes_of(_STATUS, "VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return ProcessMemory(None, peak if sys.platform == "darwin" else peak * 1024)


# glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, for what it allocates next.

    By default glibc asks the system for every large array, and returns it afterwards: XLA's CPU programs take their
    temporary memory anew at each call, page by page. Kept, `madsep separate` takes a fifth less time with dws-5-64. It
    is for commands that own their process, at their start: threads that run already keep their own pools. Returns
    whether it is so: not where the C library is another one.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, _ARENA_MAX: 1}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())


def require_memory(needed: int) -> None:
    """Raise MemoryError where more bytes are needed than are free; where that cannot be known, do nothing."""
    free = free_bytes()
    if free is not None and needed > free:
        raise MemoryError(f"needs about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def free_bytes() -> int | None:
    """Return the memory that can be had without swapping; None where the system does not tell."""
    try:
        return _bytes_of(_MEMINFO, "MemAvailable")
    except (OSError, KeyError, ValueError):
        return None


def _bytes_of(path: Path, name: str) -> int:
    """Read one of the lines `name: number kB` that Linux writes of itself."""
    lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return int(lines[name].split()[0]) * 1024
