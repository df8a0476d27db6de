"""The stages from a Python function to a program of the machine, each timed, and what comes out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.serialize_executable import serialize

from experiments.benchmarks.case import Case
from experiments.benchmarks.rounds import fits, in_turn, spreads, timed

Rows = list[dict[str, Any]]

#: One operation in StableHLO's text. An operation is not written over several lines, but its regions are.
_OPERATION = re.compile(r"^\s*(?:%[\w:]+ = )?\"?(?:stablehlo|chlo)\.", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ProgramSize:
    """How large a program is; each number the same at every compilation."""

    stablehlo_bytes: int
    """Of the text, without locations."""
    stablehlo_operations: int
    """A loop's body counts once."""
    fusions: int
    """Kernels that XLA made of several operations each; each of them is compiled to machine code by itself."""
    executable_bytes: int
    """Of the executable as it can be stored."""
    code_bytes: int | None
    """Of its machine code, by XLA's own count; None where it does not say."""
    temporary_bytes: int
    """Memory that a run takes beside its arguments and results."""


def compile_in_stages(function: Any, arguments: Sequence[Any]) -> tuple[Any, Any, dict[str, float]]:
    """Compile a jitted function for arguments, or their shapes; return the lowered and the compiled form.

    And the seconds of each stage: `trace_s`, in which Python runs the function on abstract arrays, differentiation
    included, to a jaxpr; `lower_s`, from there to StableHLO; `compile_s`, XLA's, to an executable; `total_s`, of all.
    """
    traced, trace_s = timed(lambda: function.trace(*arguments))
    lowered, lower_s = timed(traced.lower)
    compiled, compile_s = timed(lowered.compile)
    stages = {"trace_s": trace_s, "lower_s": lower_s, "compile_s": compile_s}
    return lowered, compiled, {**stages, "total_s": sum(stages.values())}


def program_size(lowered: Any, compiled: Any) -> ProgramSize:
    """Measure a program."""
    text = lowered.as_text()
    memory = compiled.memory_analysis()
    return ProgramSize(
        stablehlo_bytes=len(text.encode()),
        stablehlo_operations=len(_OPERATION.findall(text)),
        fusions=compiled.as_text().count(" fusion("),
        executable_bytes=len(serialize(compiled)[0]),
        code_bytes=memory.generated_code_size_in_bytes or None,
        temporary_bytes=memory.temp_size_in_bytes,
    )


def measure_stages(cases: Sequence[Case], repeats: int, on_repeat: Callable[..., object] = lambda *_: None) -> Rows:
    """Compile the program of each case several times, in turn, each time with nothing left of the times before.

    Args:
        cases: what to compile.
        repeats: how often, where that `fits`.
        on_repeat: called once for each case and repeat.

    Returns:
        For each program what it is, its size, the `Spread` of each stage and of all three together, and `runs`.
    """
    shapes = {case: case.shapes() for case in cases}
    sizes: dict[Case, ProgramSize] = {}

    def compile_afresh(case: Case) -> dict[str, float]:
        jax.clear_caches()
        lowered, compiled, stages = compile_in_stages(case.jitted(), shapes[case])
        if case not in sizes:
            sizes[case] = program_size(lowered, compiled)
        return stages

    def is_due(done: Sequence[dict[str, float]]) -> bool:
        return fits([stages["total_s"] for stages in done])

    found = in_turn(cases, repeats, compile_afresh, is_due=is_due, on_turn=on_repeat)
    return [{**about(case), **spreads(done), **vars(sizes[case]), "runs": len(done)} for case, done in found.items()]


def about(case: Case) -> dict[str, Any]:
    """Return which one it is, for tables and files; depth and form are those of equal blocks, else None."""
    depth = getattr(case.config.masker, "layers", None)
    return {
        "system": case.system,
        "mode": case.mode,
        "layers": depth,
        "blocks": None if depth is None else case.config.compute.blocks,
        "frames": case.frames,
        "batch": case.batch,
    }
