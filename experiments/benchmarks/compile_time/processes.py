"""The first step of a new process: with an empty compilation cache, with a filled one, and from an exported program."""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.stages import Rows, about
from experiments.benchmarks.new_process import run_new_process
from experiments.benchmarks.rounds import fits, in_turn, spreads
from madsep_jax.config.io import to_dict
from madsep_jax.export import export_train_step
from madsep_jax.train.step import init_state

_FIRST_STEP = "experiments.benchmarks.compile_time.first_step"

#: Ways to start, the slowest first, as a rule: whether the program is exported. A warm cache is what the start before
#: has left.
STARTS = {
    "traced, cold cache": False,
    "traced, warm cache": False,
    "exported, cold cache": True,
    "exported, warm cache": True,
}


def measure_starts(cases: Sequence[Case], repeats: int, on_repeat: Callable[..., object] = lambda *_: None) -> Rows:
    """Start a process for each train step, way and repeat, in turn.

    A cold cache is a new, empty folder; a warm one the folder that the cold start before it left.

    Args:
        cases: trainings.
        repeats: how often, where that `fits`.
        on_repeat: called once for each case and repeat.

    Returns:
        For each case and each of `STARTS` the `Spread` of every stage of `first_step`, and `runs`.
    """
    programs = {case: _exported(case) for case in cases}

    def is_due(done: Sequence[dict[str, Any]]) -> bool:
        return fits([next(iter(ways.values()))["total_s"] for ways in done])

    found = in_turn(
        cases, repeats, lambda case: _start_in_all_ways(case, programs[case]), is_due=is_due, on_turn=on_repeat
    )
    return [
        {**about(case), "start": start, **_joined([ways[start] for ways in done]), "runs": len(done)}
        for case, done in found.items()
        for start in STARTS
    ]


def _exported(case: Case) -> bytes:
    state = jax.eval_shape(lambda: init_state(case.config))
    return bytes(export_train_step(case.config, state).serialize())


def _start_in_all_ways(case: Case, program: bytes) -> dict[str, dict[str, float]]:
    """Return what each of `STARTS` took, see `first_step`; and `cache_bytes`, what the cache takes then."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="madsep-start-") as name:
        folder = Path(name)
        (folder / "program").write_bytes(program)
        for start, exported in STARTS.items():
            cache = folder / f"cache-{'exported' if exported else 'traced'}"
            request = {
                "system": case.system,
                "config": to_dict(case.config),
                "cache": str(cache),
                "exported": str(folder / "program") if exported else None,
                "asked_at": time.time(),
            }
            found[start] = run_new_process(_FIRST_STEP, json.dumps(request))
            found[start]["cache_bytes"] = sum(path.stat().st_size for path in cache.iterdir())
    return found


def _joined(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        **spreads([{name: value for name, value in one.items() if name.endswith("_s")} for one in found]),
        "cache_hits": min(one["cache_hits"] for one in found),
        "cache_misses": max(one["cache_misses"] for one in found),
        "cache_bytes": found[-1]["cache_bytes"],
    }
