"""Ahead-of-time export: how long it takes to write a program, to read it, and to run what was read."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import export

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.stages import Rows, about, compile_in_stages
from experiments.benchmarks.equality import largest_difference
from experiments.benchmarks.rounds import fits, in_turn, spreads, timed
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

    def export_and_run(case: Case) -> dict[str, float]:
        nonlocal content, result
        jax.clear_caches()
        content, export_s = timed(lambda: _export(case, arguments[0]).serialize())
        jax.clear_caches()
        exported, read_s = timed(lambda: export.deserialize(content))
        _, compiled, stages = compile_in_stages(_callable(case, exported), arguments)
        result, first_call_s = timed(lambda: compiled(*arguments))
        ready_s = read_s + stages.total_s
        return {"export_s": export_s, "read_s": read_s, "ready_s": ready_s, "first_call_s": first_call_s}

    def is_due(done: Sequence[dict[str, float]]) -> bool:
        return fits([one["export_s"] + one["ready_s"] + one["first_call_s"] for one in done])

    (found,) = in_turn([case], repeats, export_and_run, is_due=is_due, on_turn=on_repeat).values()
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
