"""Memory that this process holds, as the system counts it."""

import resource
import sys
from pathlib import Path
from typing import NamedTuple

_STATUS = Path("/proc/self/status")


class ProcessMemory(NamedTuple):
    """Resident memory, in bytes."""

    now: int | None
    """None where the system does not tell."""
    peak: int


def process_memory() -> ProcessMemory:
    """Return the memory of this process, now and at its most."""
    if _STATUS.is_file():  # where `getrusage` would count in what the parent had before the program began
        lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines())
        return ProcessMemory(*(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return ProcessMemory(None, peak if sys.platform == "darwin" else peak * 1024)
