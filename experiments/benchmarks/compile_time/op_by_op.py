"""What compiling is worth: the compiled program beside the same one without.

Op by op means `jax.disable_jit`: Python runs the function on real arrays, each primitive operation is a program of its
own that writes its whole result to memory, and loops (`lax.scan`) are Python's. Eager means that only the outermost
`jax.jit` is left out: what JAX compiles by itself, above all each loop, is still one program. The gradient is JAX's in
either case, and so are the operations: only the compiler never sees the whole.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.benchmarks.compile_time.programs import Program, Spread, is_due
from experiments.benchmarks.compile_time.stages import compile_in_stages
from madsep_jax.host.compiler import without_compilation_cache


def paid_after(ready_s: float, step_s: float, op_by_op_s: float) -> int | None:
    """Return the number of steps from which on compiling has taken less time in all than running op by op.

    Args:
        ready_s: to trace, lower and compile.
        step_s: a compiled step.
        op_by_op_s: the same step op by op, or eagerly.

    Returns:
        The smallest n with ready_s + n · step_s ≤ n · op_by_op_s; None where there is none.
    """
    saved_s = op_by_op_s - step_s
    return math.ceil(ready_s / saved_s) if saved_s > 0 else None


def measure_op_by_op(
    programs: Sequence[Program], repeats: int, on_repeat: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Run each program compiled, eagerly and op by op, in turn.

    Each is repeated `repeats` times, or as often as fits (`is_due`).

    Returns:
        For each program `ready_s`, to trace, lower and compile it, and the `Spread` of `step_s`, the compiled step. For
        `eager` and for `op_by_op`: `…_s`, a `Spread` without the first run; `…_first_s`, that first run, in which the
        single operations are compiled; `…_runs`; `…_speed_up`, by which compiled steps are faster; `…_paid_after`.
    """
    rows = []
    with without_compilation_cache():
        for program in programs:
            rows.append({**program.about, **_measure(program, repeats, on_repeat)})
    jax.clear_caches()
    return rows


def _measure(program: Program, repeats: int, on_repeat: Callable[[], None]) -> dict[str, Any]:
    jax.clear_caches()
    _, compiled, stages = compile_in_stages(program.jitted(), program.shapes())
    ways = {
        "step": _Runs(compiled, program),
        "eager": _Runs(program.function(), program),
        "op_by_op": _Runs(program.function(), program, disable_jit=True),
    }
    first_s = {way: runs.time() for way, runs in ways.items()}
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, runs in ways.items():
            if is_due(found[way]):
                found[way].append(runs.time())
        on_repeat()
    spreads = {way: Spread.of(seconds) for way, seconds in found.items()}
    step_s = spreads["step"].median
    row: dict[str, Any] = {"ready_s": stages.total_s, "step_s": spreads["step"]}
    for way in ("eager", "op_by_op"):
        row |= {
            f"{way}_s": spreads[way],
            f"{way}_first_s": first_s[way],
            f"{way}_runs": len(found[way]),
            f"{way}_speed_up": spreads[way].median / step_s,
            f"{way}_paid_after": paid_after(stages.total_s, step_s, spreads[way].median),
        }
    return row


class _Runs:
    """Runs of one function, a train step going on from the state of the step before."""

    def __init__(self, function: Callable[..., Any], program: Program, disable_jit: bool = False) -> None:
        self._function, self._trains, self._disable_jit = function, program.mode == "train", disable_jit
        self._arguments = program.arguments()

    def time(self) -> float:
        """Return the seconds of one run."""
        with jax.disable_jit(self._disable_jit):
            start = time.perf_counter()
            result = jax.block_until_ready(self._function(*self._arguments))
            seconds = time.perf_counter() - start
        if self._trains:
            self._arguments = (result[0], self._arguments[1])
        return seconds
