"""Which operations a compiled step spends its time in, from JAX's profiler."""

import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = (\S+) ([\w\-]+)\(.*?metadata=\{[^}]*?op_name="([^"]*)"', re.M)

#: The track of a device's operations where the profiler makes one; its other tracks show the same time again.
_DEVICE_TRACK = "XLA Ops"

#: Steps that are profiled, and operations that are named.
_STEPS, _MOST = 3, 5


@dataclass(frozen=True)
class Operation:
    """One operation of a compiled program."""

    name: str
    """XLA's."""
    kind: str
    """XLA's operation, and the shape of its result."""
    source: str
    """What it was traced from: modules and functions, as JAX names them."""
    seconds: float
    """In one step, without what it calls."""
    share: float
    """Of the time of all operations."""


def slowest_operations(run: Callable[[], object], program_text: str) -> list[Operation]:
    """Profile some steps, and return the operations that took most time, the slowest first.

    Args:
        run: does one step of a program that is compiled already, and returns when it is done.
        program_text: the compiled program as text, to tell where an operation comes from.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(_STEPS):
                run()
        files = sorted(Path(folder).rglob("*.trace.json.gz"))
        events = [event for file in files for event in json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]]
    seconds = operation_seconds(events)
    total = sum(seconds.values())
    known = {name: (f"{kind} {shape}", source) for name, shape, kind, source in _INSTRUCTION.findall(program_text)}
    slowest = sorted(seconds, key=lambda name: -seconds[name])[:_MOST]
    return [
        Operation(name, *known.get(name, ("", "")), seconds[name] / _STEPS, seconds[name] / total) for name in slowest
    ]


def operation_seconds(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each operation in a trace (Chrome's format), without those of operations inside it."""
    names: dict[tuple[Any, Any], str] = {}
    tracks: dict[tuple[Any, Any], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        track = (event.get("pid"), event.get("tid"))
        if event.get("ph") == "M" and event.get("name") == "thread_name":
            names[track] = event["args"]["name"]
        elif event.get("ph") == "X" and "dur" in event:
            tracks[track].append(event)
    of_device = [track for track in tracks if _DEVICE_TRACK in names.get(track, "")]
    total: dict[str, float] = defaultdict(float)
    for track in of_device or tracks:
        operations = [event for event in tracks[track] if of_device or "hlo_op" in event.get("args", {})]
        for name, microseconds in _own_times(operations):
            total[name] += microseconds / 1e6
    return dict(total)


def _own_times(events: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, float]]:
    """Yield name and duration of each event of one track, less that of the events that it encloses."""
    open_events: list[list[Any]] = []  # name, end, own time
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        while open_events and open_events[-1][1] <= event["ts"]:
            yield open_events[-1][0], open_events.pop()[2]
        if open_events:
            open_events[-1][2] -= event["dur"]
        name = event.get("args", {}).get("hlo_op", event["name"])
        open_events.append([name, event["ts"] + event["dur"], event["dur"]])
    while open_events:
        yield open_events[-1][0], open_events.pop()[2]
