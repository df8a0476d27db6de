"""Ahead-of-time export: how long it takes to write a program, to read it, and to run what was read."""

import time
from collections.abc import Callable
from typing import Any

import jax
from jax import export

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.stages import Rows, about, compile_in_stages
from experiments.benchmarks.equality import largest_difference
from experiments.benchmarks.rounds import fits, in_turn, spreads
from madsep_jax.export import export_forward, export_train_step, train_step_of
from madsep_jax.host.compiler import compiler_options
from madsep_jax.models import Separation


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

    def export_and_run() -> dict[str, float]:
        nonlocal content, result
        jax.clear_caches()
        start = time.perf_counter()
        content = _export(case, arguments[0]).serialize()
        export_s = time.perf_counter() - start
        jax.clear_caches()
        start = time.perf_counter()
        exported = export.deserialize(content)
        read_s = time.perf_counter() - start
        _, compiled, stages = compile_in_stages(_callable(case, exported), arguments)
        start = time.perf_counter()
        result = jax.block_until_ready(compiled(*arguments))
        first_call_s = time.perf_counter() - start
        return {
            "export_s": export_s,
            "read_s": read_s,
            "ready_s": read_s + stages.total_s,
            "first_call_s": first_call_s,
        }

    found = in_turn(
        {case.system: export_and_run},
        repeats,
        is_due=lambda done: fits([one["export_s"] + one["ready_s"] + one["first_call_s"] for one in done]),
        on_turn=on_repeat,
    )[case.system]
    jax.clear_caches()
    _, direct, stages = compile_in_stages(jax.jit(case.function(), compiler_options=compiler_options()), arguments)
    return [
        {
            **about(case),
            **spreads(found),
            "program_bytes": len(content),
            "weights_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(weights)),
            "direct_s": stages.total_s,
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
    return jax.jit(function, compiler_options=compiler_options())
