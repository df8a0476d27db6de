"""Memory: what this process holds, what C keeps of what is freed, what a program needs, and what there is."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from madsep_jax.errors import first_line

if TYPE_CHECKING:
    import jax

_STATUS, _MEMINFO = Path("/proc/self/status"), Path("/proc/meminfo")
_OWN_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


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


def require_memory(needed: int, there: int | None = None) -> None:
    """Raise MemoryError where more bytes are needed than are there; where that cannot be known, do nothing.

    By default those are there that the system has free.
    """
    there = free_bytes() if there is None else there
    if there is not None and needed > there:
        raise MemoryError(f"needs about {needed / 2**30:.1f} GiB, {there / 2**30:.1f} GiB are free")


def require_room(compiled: Any, device: "jax.Device") -> None:
    """Raise MemoryError where a device cannot hold what a program needs whose arguments it holds already."""
    plan = planned_memory(compiled)
    if not plan:
        return
    held = plan["argument"] if device.platform == "cpu" else 0  # of others, what is there includes what is taken
    require_memory(plan["peak"] - held, device_bytes(device))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError within the `with` where XLA finds too little memory, as it compiles or as it runs."""
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MemoryError(first_line(error)) from None


def free_bytes(groups: Path = _GROUPS) -> int | None:
    """Return the memory that can be had without swapping; None where the system does not tell.

    Where the process is in a control group, as in a container or a job of Slurm, it can have no more than that may.
    """
    try:
        free = _bytes_of(_MEMINFO, "MemAvailable")
    except (OSError, KeyError, ValueError):
        return None
    return min([free, *_left_in_groups(groups)])


def _left_in_groups(groups: Path) -> list[int]:
    """Return what is left to this process's control groups, those that have a limit: version 2, then version 1."""
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    try:
        lines = [line.split(":", 2) for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, own in lines:
        root = groups / "memory" if "memory" in controllers.split(",") else groups
        inner = root / own.lstrip("/")
        for folder in [path for path in (inner, *inner.parents) if path.is_relative_to(root)]:
            left += [found for limit in names if (found := _left(folder, *limit)) is not None]
    return left


def _left(group: Path, limit: str, used: str, cached: str) -> int | None:
    """Return what a group may take beside what it has, of which the system can give back files that it keeps."""
    try:
        most = int((group / limit).read_text(encoding="ascii"))
        held = int((group / used).read_text(encoding="ascii"))
        stats = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        return max(most - held + int(stats.get(cached, 0)), 0)
    except (OSError, ValueError):  # there is none, or it says `max`
        return None


def device_bytes(device: "jax.Device") -> int | None:
    """Return what programs can have of a device's memory; None where nobody tells.

    CPU devices share what the system has free among those of this process; of others it is what JAX may take, held
    already or not.
    """
    if device.platform == "cpu":
        free = free_bytes()
        return None if free is None else free // len(device.client.local_devices())
    try:
        return (device.memory_stats() or {}).get("bytes_limit")
    except NotImplementedError:
        return None


def planned_memory(compiled: Any) -> dict[str, int]:
    """Return the bytes that XLA says a call of a compiled program needs, on each device; empty where it does not tell.

    A donated argument's buffer is the output's as well.
    """
    found = compiled.memory_analysis()
    if found is None:
        return {}
    temporary, argument = found.temp_size_in_bytes, found.argument_size_in_bytes
    output = found.output_size_in_bytes - found.alias_size_in_bytes
    return {"temporary": temporary, "argument": argument, "output": output, "peak": temporary + argument + output}


def _bytes_of(path: Path, name: str) -> int:
    """Read one of the lines `name: number kB` that Linux writes of itself."""
    lines = dict(line.split(":", 1) for line in path.read_text(encoding="ascii", errors="replace").splitlines())
    return int(lines[name].split()[0]) * 1024
