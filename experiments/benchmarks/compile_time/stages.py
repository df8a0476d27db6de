"""The stages from a Python function to a program of the machine, each timed, and what comes out."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental.serialize_executable import serialize

from experiments.benchmarks.compile_time.programs import Program, Spread, is_due
from madsep_jax.host.compiler import without_compilation_cache

#: One operation in StableHLO's text. An operation is not written over several lines, but its regions are.
_OPERATION = re.compile(r"^\s*(?:%[\w:]+ = )?\"?(?:stablehlo|chlo)\.", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Seconds of one compilation."""

    trace_s: float
    """Python runs the function on abstract arrays, differentiation included: to a jaxpr."""
    lower_s: float
    """From the jaxpr to StableHLO."""
    compile_s: float
    """XLA: from StableHLO to an executable."""

    @property
    def total_s(self) -> float:
        """All three."""
        return self.trace_s + self.lower_s + self.compile_s


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


def compile_in_stages(function: Any, arguments: Sequence[Any]) -> tuple[Any, Any, Stages]:
    """Compile a jitted function for arguments, or their shapes; return the lowered and the compiled form."""
    start = time.perf_counter()
    traced = function.trace(*arguments)
    after_trace = time.perf_counter()
    lowered = traced.lower()
    after_lower = time.perf_counter()
    compiled = lowered.compile()
    after_compile = time.perf_counter()
    stages = Stages(
        trace_s=after_trace - start, lower_s=after_lower - after_trace, compile_s=after_compile - after_lower
    )
    return lowered, compiled, stages


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


def measure_stages(
    programs: Sequence[Program], repeats: int, on_compiled: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Compile each program several times, in turn, each time with nothing left of the times before.

    Args:
        programs: what to compile.
        repeats: how often, where that fits (`is_due`).
        on_compiled: called once for each program and repeat.

    Returns:
        For each program what it is, its size, the `Spread` of each stage and of all three together, and `runs`.
    """
    shapes = [program.shapes() for program in programs]
    stages: list[list[Stages]] = [[] for _ in programs]
    sizes: dict[int, ProgramSize] = {}
    with without_compilation_cache():
        for _ in range(repeats):
            for number, program in enumerate(programs):
                if is_due([found.total_s for found in stages[number]]):
                    jax.clear_caches()
                    lowered, compiled, seconds = compile_in_stages(program.jitted(), shapes[number])
                    stages[number].append(seconds)
                    if number not in sizes:
                        sizes[number] = program_size(lowered, compiled)
                on_compiled()
    jax.clear_caches()
    names = ("trace_s", "lower_s", "compile_s", "total_s")
    return [
        {
            **program.about,
            **{name: Spread.of([getattr(found, name) for found in stages[number]]) for name in names},
            **vars(sizes[number]),
            "runs": len(stages[number]),
        }
        for number, program in enumerate(programs)
    ]
