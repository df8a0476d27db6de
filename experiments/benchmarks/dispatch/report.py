"""What `experiments.dispatch` writes for its reader."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.benchmarks.dispatch.ways import Way
from experiments.cli.tables import markdown_table
from madsep_jax.host.environment import describe_machine, environment
from madsep_jax.host.files import write_json, write_text

_CAPTION = (
    "Step: time of a train step of one seed in the training loop, batches from the host and metrics fetched; median of "
    "the rounds and their range, the ways of a system in turn. Speed-up: over one seed and one step in a call. "
    "Compile: of the program, for all its seeds."
)


def speed_up(way: Way, measured: Sequence[Way]) -> float:
    """Return how many times faster than one seed and one step in a call it is."""
    (alone,) = [other for other in measured if (other.system, other.steps_per_call, other.seeds) == (way.system, 1, 1)]
    return alone.median_step_s / way.median_step_s


def markdown(measured: Sequence[Way]) -> str:
    """Return the table in markdown, its caption below."""
    rows = [
        {
            "system": way.system,
            "seeds": str(way.seeds),
            "steps a call": str(way.steps_per_call),
            "step (ms)": f"{1e3 * way.median_step_s:.2f}",
            "range (ms)": f"{1e3 * min(way.step_s):.2f} to {1e3 * max(way.step_s):.2f}",
            "speed-up": f"{speed_up(way, measured):.2f}",
            "compile (s)": f"{way.compile_s:.1f}",
        }
        for way in measured
    ]
    table = markdown_table(list(rows[0]), [list(row.values()) for row in rows])
    return f"{table}\n\n{describe_machine()}. {_CAPTION}\n"


def write(measured: Sequence[Way], settings: Mapping[str, Any], folder: Path) -> None:
    """Write dispatch.json and table.md: the ways that have been measured."""
    ways = [way for way in measured if way.step_s]
    rows = [{**asdict(way), "median_step_s": way.median_step_s, "speed_up": speed_up(way, ways)} for way in ways]
    write_json(folder / "dispatch.json", {"environment": environment(), "settings": dict(settings), "ways": rows})
    write_text(folder / "table.md", markdown(ways))
