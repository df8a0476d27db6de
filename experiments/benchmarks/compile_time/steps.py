"""What comes of compiling: steps of programs compiled with XLA's options and without, and not compiled at all.

Op by op means `jax.disable_jit`: Python runs the function on real arrays, each primitive operation is a program of its
own that writes its whole result to memory, and loops (`lax.scan`) are Python's. Eager means that only the outermost
`jax.jit` is left out: what JAX compiles by itself, above all each loop, is still one program. The gradient is JAX's in
either case, and so are the operations: only the compiler never sees the whole.
"""

import math
from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks.case import Case, Runs
from experiments.benchmarks.compile_time.stages import Rows, about, compile_in_stages
from experiments.benchmarks.rounds import Spread, fits, in_turn, timed
from madsep_jax.host.compiler import CHOSEN
from madsep_jax.ops.choice import target_of
from madsep_jax.train.step import jit_train_step

#: Steps of each choice of options, in turn, after one that is not counted.
_STEPS = 20


def choices(chosen: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return what is compared, by name: nothing, each option alone, and all where there are several."""
    alone = {f"{name}={value}": {name: value} for name, value in chosen.items()}
    return {"XLA's defaults": {}, **alone, **({"all of these": chosen} if len(chosen) > 1 else {})}


def measure_options(case: Case, repeats: int, on_repeat: Callable[..., object] = lambda *_: None) -> Rows:
    """Compile a train step with and without the options, and run what comes of it in turn.

    Args:
        case: a training.
        repeats: how often it is compiled, where that `fits`.
        on_repeat: called once a repeat.

    Returns:
        For each choice of options `options`; the `Spread` of `compile_s`, XLA's part of the compiling, and of `step_s`;
        and `step_share`, the median step as a share of that with XLA's defaults.
    """
    steps: dict[str, Any] = {}
    compared = choices(CHOSEN.get(target_of(case.config.compute), {}))

    def compile_afresh(name: str) -> float:
        jax.clear_caches()
        lowered = jit_train_step(case.function(), compared[name]).lower(*case.shapes())
        steps[name], seconds = timed(lowered.compile)
        return seconds

    compile_s = in_turn(compared, repeats, compile_afresh, is_due=fits, on_round=on_repeat)
    runs = {name: Runs(step, case.arguments(), trains=True) for name, step in steps.items()}
    step_s = in_turn(runs, 1 + _STEPS, lambda name: timed(runs[name].run)[1])
    spread = {name: Spread.of(seconds[1:]) for name, seconds in step_s.items()}
    default_s = spread[next(iter(compared))].median
    return [
        {
            **about(case),
            "options": name,
            "compile_s": Spread.of(compile_s[name]),
            "step_s": spread[name],
            "step_share": spread[name].median / default_s,
            "runs": len(compile_s[name]),
        }
        for name in compared
    ]


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


def measure_op_by_op(case: Case, repeats: int, on_repeat: Callable[..., object] = lambda *_: None) -> Rows:
    """Run a case's program compiled, eagerly and op by op, in turn.

    Each is repeated `repeats` times, or as often as that `fits`; `on_repeat` is called once a repeat.

    Returns:
        In one row `ready_s`, to trace, lower and compile it, and the `Spread` of `step_s`, the compiled step. For
        `eager` and for `op_by_op`: `…_s`, a `Spread` without the first run; `…_first_s`, that first run, in which the
        single operations are compiled; `…_runs`; `…_speed_up`, by which compiled steps are faster; `…_paid_after`.
    """
    jax.clear_caches()
    _, compiled, stages = compile_in_stages(case.jitted(), case.shapes())
    functions = {"step": compiled, "eager": case.function(), "op_by_op": case.function()}
    ways = {way: Runs(function, case.arguments(), case.mode == "train") for way, function in functions.items()}

    def time_run(way: str) -> float:
        with jax.disable_jit(way == "op_by_op"):
            return timed(ways[way].run)[1]

    first_s = {way: time_run(way) for way in ways}
    found = in_turn(ways, repeats, time_run, is_due=fits, on_round=on_repeat)
    step, ready_s = Spread.of(found["step"]), stages["total_s"]
    row: dict[str, Any] = {**about(case), "ready_s": ready_s, "step_s": step}
    for way in ("eager", "op_by_op"):
        spread = Spread.of(found[way])
        row |= {
            f"{way}_s": spread,
            f"{way}_first_s": first_s[way],
            f"{way}_runs": len(found[way]),
            f"{way}_speed_up": spread.median / step.median,
            f"{way}_paid_after": paid_after(ready_s, step.median, spread.median),
        }
    return [row]
