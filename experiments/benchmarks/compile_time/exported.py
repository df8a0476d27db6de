"""Ahead-of-time export: how long it takes to write a program, to read it, and to run what was read."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from experiments.benchmarks.compile_time.programs import Program, Spread, is_due
from experiments.benchmarks.compile_time.stages import compile_in_stages
from madsep_jax.export import export_forward, export_train_step, train_step_of
from madsep_jax.host.compiler import compiler_options, without_compilation_cache
from madsep_jax.models import Separation


def measure_exports(
    programs: Sequence[Program], repeats: int, on_repeat: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Export each program, read it back, run it, and compare it with the one that was not exported.

    Returns:
        For each program the `Spread`s `export_s` (tracing, lowering, writing down), `read_s`, `ready_s` (from the
        bytes to the executable) and `first_call_s`; `program_bytes` and, kept apart, `weights_bytes`; `direct_s`, from
        the Python function to the executable; `runs`, at most `repeats`; and `difference`, the largest difference of
        the results from the direct program's, as a share of the largest value of the array that it is in.
    """
    rows = []
    with without_compilation_cache():
        for program in programs:
            rows.append({**program.about, **_measure(program, repeats, on_repeat)})
    jax.clear_caches()
    return rows


def _measure(program: Program, repeats: int, on_repeat: Callable[[], None]) -> dict[str, Any]:
    arguments = program.arguments()
    weights = arguments[0].params if program.mode == "train" else arguments[0]["params"]
    seconds: dict[str, list[float]] = {"export_s": [], "read_s": [], "ready_s": [], "first_call_s": []}
    totals: list[float] = []
    for _ in range(repeats):
        on_repeat()
        if not is_due(totals):
            continue
        jax.clear_caches()
        start = time.perf_counter()
        content = _export(program, arguments[0]).serialize()
        seconds["export_s"].append(time.perf_counter() - start)
        jax.clear_caches()
        start = time.perf_counter()
        exported = export.deserialize(content)
        seconds["read_s"].append(time.perf_counter() - start)
        _, compiled, stages = compile_in_stages(_callable(program, exported), arguments)
        seconds["ready_s"].append(seconds["read_s"][-1] + stages.total_s)
        start = time.perf_counter()
        result = jax.block_until_ready(compiled(*arguments))
        seconds["first_call_s"].append(time.perf_counter() - start)
        totals.append(sum(seconds[name][-1] for name in ("export_s", "ready_s", "first_call_s")))
    jax.clear_caches()
    _, direct, stages = compile_in_stages(jax.jit(program.function(), compiler_options=compiler_options()), arguments)
    return {
        **{name: Spread.of(values) for name, values in seconds.items()},
        "program_bytes": len(content),
        "weights_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(weights)),
        "direct_s": stages.total_s,
        "runs": len(totals),
        "difference": largest_difference(_fields(result), _fields(direct(*arguments))),
    }


def _fields(result: Any) -> Any:
    """Return a `Separation` as the exported program does: those fields that it has."""
    if not isinstance(result, Separation):
        return result
    return {name: value for name, value in result._asdict().items() if value is not None}


def largest_difference(found: Any, expected: Any) -> float:
    """Return the largest difference of two trees of arrays, as a share of the largest value in the same array."""
    worst = 0.0
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        scale = np.abs(other).max(initial=0) or 1.0
        worst = max(worst, float(np.abs(one - other).max(initial=0) / scale))
    return worst


def _export(program: Program, state_or_variables: Any) -> export.Exported:
    if program.mode == "train":
        return export_train_step(program.config, state_or_variables)
    return export_forward(program.config, state_or_variables)


def _callable(program: Program, exported: export.Exported) -> Any:
    """The arguments are used again, so that their buffers are kept."""
    function = train_step_of(exported) if program.mode == "train" else exported.call
    return jax.jit(function, compiler_options=compiler_options())
