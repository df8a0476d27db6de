"""The first step of a new process: with an empty compilation cache, with a filled one, and from an exported program."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.compile_time.first_step import Request, Timings
from experiments.benchmarks.compile_time.programs import Program, Spread, is_due
from madsep_jax.config.io import to_dict
from madsep_jax.export import export_train_step
from madsep_jax.train.step import init_state

_FIRST_STEP = "experiments.benchmarks.compile_time.first_step"

_PROJECT = Path(__file__).parents[3]

#: Ways to start: whether the program is exported, and whether the cache has been filled by a start before.
STARTS = {
    "traced, cold cache": (False, False),
    "traced, warm cache": (False, True),
    "exported, cold cache": (True, False),
    "exported, warm cache": (True, True),
}

#: The slowest of them, as a rule.
COLDEST = "traced, cold cache"

_SUMS = ("ready_s", "total_s")


def measure_starts(
    programs: Sequence[Program], repeats: int, on_start: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Start a process for each train step, way and repeat, in turn.

    A cold cache is a new, empty folder; a warm one the folder that the cold start before it left.

    Args:
        programs: train steps.
        repeats: how often, where that fits (`is_due`).
        on_start: called once for each program, repeat and way.

    Returns:
        For each program and each of `STARTS` the `Spread` of every stage of `Timings`, and `runs`.
    """
    found: dict[tuple[int, str], list[Timings]] = {
        (number, start): [] for number in range(len(programs)) for start in STARTS
    }
    cache_bytes: dict[tuple[int, str], int] = {}
    with tempfile.TemporaryDirectory(prefix="madsep-start-") as name:
        folder = Path(name)
        files = [_export(program, folder / f"{number}.program") for number, program in enumerate(programs)]
        for repeat in range(repeats):
            for number, program in enumerate(programs):
                due = is_due([timings.total_s for timings in found[number, COLDEST]])
                for start, (exported, _) in STARTS.items():
                    if due:
                        cache = folder / f"cache-{number}-{repeat}-{'exported' if exported else 'traced'}"
                        timings = start_process(program, cache, files[number] if exported else None)
                        found[number, start].append(timings)
                        cache_bytes[number, start] = sum(path.stat().st_size for path in cache.iterdir())
                    on_start()
    return [
        {
            **programs[number].about,
            "start": start,
            **_spreads(timings),
            "cache_bytes": cache_bytes[number, start],
            "runs": len(timings),
        }
        for (number, start), timings in found.items()
    ]


def start_process(program: Program, cache: Path, exported: Path | None) -> Timings:
    """Run a program's first step in a new process."""
    request = Request(
        system=program.system,
        mode=program.mode,
        config=to_dict(program.config),
        cache=str(cache),
        exported=None if exported is None else str(exported),
        asked_at=time.time(),
    )
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", _FIRST_STEP],
        input=json.dumps(asdict(request)),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the first step of {program.system} failed in its process:\n{done.stderr}")
    return Timings(**json.loads(done.stdout))


def _export(program: Program, path: Path) -> Path:
    state = jax.eval_shape(lambda: init_state(program.config))
    path.write_bytes(export_train_step(program.config, state).serialize())
    return path


def _spreads(timings: Sequence[Timings]) -> dict[str, Any]:
    seconds = [name for name in asdict(timings[0]) if name.endswith("_s")]
    return {
        **{name: Spread.of([getattr(found, name) for found in timings]) for name in (*seconds, *_SUMS)},
        "cache_hits": min(found.cache_hits for found in timings),
        "cache_misses": max(found.cache_misses for found in timings),
    }
