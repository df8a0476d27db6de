"""Whether something fits into the memory of the machine, where too much of it ends the process."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GIB = 2**30


def require_memory(needed: int) -> None:
    """Raise MemoryError where more bytes are needed than are free; where that cannot be known, do nothing."""
    free = free_bytes()
    if free is not None and needed > free:
        raise MemoryError(f"needs about {needed / _GIB:.1f} GiB, {free / _GIB:.1f} GiB are free")


def free_bytes() -> int | None:
    """Return the memory that can be had without swapping; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
