"""What saves compiling: exported programs, and caches of compiled ones, in this process and in new ones."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax import export

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.first_step import first_step
from experiments.benchmarks.compile_time.stages import Rows, about, compile_in_stages
from experiments.benchmarks.equality import largest_difference
from experiments.benchmarks.new_process import run_new_process
from experiments.benchmarks.rounds import fits, in_turn, spreads, timed
from madsep_jax.config.io import to_dict
from madsep_jax.export import export_forward, export_train_step, train_step_of
from madsep_jax.models import Separation

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
    programs = {case: bytes(_export(case, case.shapes()[0]).serialize()) for case in cases}

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


def _start_in_all_ways(case: Case, program: bytes) -> dict[str, dict[str, float]]:
    """Return what each of `STARTS` took, see `first_step`; and `cache_bytes`, what the cache takes then."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="madsep-start-") as name:
        folder = Path(name)
        (folder / "program").write_bytes(program)
        for start, exported in STARTS.items():
            cache = folder / f"cache-{'exported' if exported else 'traced'}"
            found[start] = run_new_process(
                first_step,
                system=case.system,
                config=to_dict(case.config),
                cache=str(cache),
                exported=str(folder / "program") if exported else None,
                asked_at=time.time(),
            )
            found[start]["cache_bytes"] = sum(path.stat().st_size for path in cache.iterdir())
    return found


def _joined(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        **spreads([{name: value for name, value in one.items() if name.endswith("_s")} for one in found]),
        "cache_hits": min(one["cache_hits"] for one in found),
        "cache_misses": max(one["cache_misses"] for one in found),
        "cache_bytes": found[-1]["cache_bytes"],
    }


def measure_export(case: Case, repeats: int, on_repeat: Callable[..., object] = lambda *_: None) -> Rows:
    """Export a case's program, read it back, run it, and compare it with the one that was not exported.

    Returns:
        In one row the `Spread`s `export_s` (tracing, lowering, writing down), `read_s`, `ready_s` (from the bytes to
        the executable) and `first_call_s`; `program_bytes` and, kept apart, `weights_bytes`; `direct_s`, from the
        Python function to the executable; `runs`, at most `repeats`; and `difference`, the largest difference of the
        results from the direct program's, as a share of the largest value of the array that it is in.
    """
    arguments = case.arguments()
    weights = arguments[0].params if case.mode == "train" else arguments[0]["params"]
    content, result = bytearray(), None

    def export_and_run(case: Case) -> dict[str, float]:
        nonlocal content, result
        jax.clear_caches()
        content, export_s = timed(lambda: _export(case, arguments[0]).serialize())
        jax.clear_caches()
        exported, read_s = timed(lambda: export.deserialize(content))
        _, compiled, stages = compile_in_stages(_callable(case, exported), arguments)
        result, first_call_s = timed(lambda: compiled(*arguments))
        ready_s = read_s + stages["total_s"]
        return {"export_s": export_s, "read_s": read_s, "ready_s": ready_s, "first_call_s": first_call_s}

    def is_due(done: Sequence[dict[str, float]]) -> bool:
        return fits([one["export_s"] + one["ready_s"] + one["first_call_s"] for one in done])

    (found,) = in_turn([case], repeats, export_and_run, is_due=is_due, on_turn=on_repeat).values()
    jax.clear_caches()
    _, direct, stages = compile_in_stages(jax.jit(case.function(), compiler_options=case.compiler_options), arguments)
    return [
        {
            **about(case),
            **spreads(found),
            "program_bytes": len(content),
            "weights_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(weights)),
            "direct_s": stages["total_s"],
            "runs": len(found),
            "difference": largest_difference(_fields(result), _fields(direct(*arguments))),
        }
    ]


def _fields(result: Any) -> Any:
    """Return a `Separation` as the exported program does: those fields that it has."""
    if not isinstance(result, Separation):
        return result
    return {name: value for name, value in result._asdict().items() if value is not None}


def _export(case: Case, state_or_variables: Any) -> export.Exported:
    if case.mode == "train":
        return export_train_step(case.config, state_or_variables)
    return export_forward(case.config, state_or_variables)


def _callable(case: Case, exported: export.Exported) -> Any:
    """The arguments are used again, so that their buffers are kept."""
    function = train_step_of(exported) if case.mode == "train" else exported.call
    return jax.jit(function, compiler_options=case.compiler_options)
