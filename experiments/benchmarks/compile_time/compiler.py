"""What the options of XLA's compiler do: train steps compiled with its defaults, with each option, and with all."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from experiments.benchmarks.compile_time.programs import Program, Spread, is_due
from madsep_jax.host.compiler import CHOSEN, without_compilation_cache
from madsep_jax.train.step import jit_train_step

#: Steps of each form, in turn.
_STEPS = 20


def measure_options(
    programs: Sequence[Program], repeats: int, on_repeat: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Compile each train step with and without the options, and run what comes of it in turn.

    Args:
        programs: train steps.
        repeats: how often each is compiled, where that fits (`is_due`).
        on_repeat: called once for each program and repeat.

    Returns:
        For each program and choice of options `options`; the `Spread` of `compile_s`, XLA's part of the compiling, and
        of `step_s`; and `step_share`, the median step as a share of that with XLA's defaults.
    """
    rows = []
    with without_compilation_cache():
        for program in programs:
            rows += _measure(program, repeats, on_repeat)
    jax.clear_caches()
    return rows


def choices(chosen: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return what is compared, by name: nothing, each option alone, and all where there are several."""
    alone = {f"{name}={value}": {name: value} for name, value in chosen.items()}
    return {"XLA's defaults": {}, **alone, **({"all of these": chosen} if len(chosen) > 1 else {})}


def _measure(program: Program, repeats: int, on_repeat: Callable[[], None]) -> list[dict[str, Any]]:
    compared = choices(CHOSEN.get(jax.default_backend(), {}))
    compile_s: dict[str, list[float]] = {name: [] for name in compared}
    steps: dict[str, Any] = {}
    for _ in range(repeats):
        for name, options in compared.items():
            if is_due(compile_s[name]):
                jax.clear_caches()
                lowered = jit_train_step(program.function(), options).lower(*program.shapes())
                start = time.perf_counter()
                steps[name] = lowered.compile()
                compile_s[name].append(time.perf_counter() - start)
        on_repeat()
    step_s = _run_in_turn(program, steps)
    spreads = {name: Spread.of(seconds) for name, seconds in step_s.items()}
    default_s = spreads[next(iter(compared))].median
    return [
        {
            **program.about,
            "options": name,
            "compile_s": Spread.of(compile_s[name]),
            "step_s": spread,
            "step_share": spread.median / default_s,
            "runs": len(compile_s[name]),
        }
        for name, spread in spreads.items()
    ]


def _run_in_turn(program: Program, steps: dict[str, Any]) -> dict[str, list[float]]:
    """Return the seconds of each step, after one that is not counted; each goes on from its own state."""
    arguments = {name: program.arguments() for name in steps}
    step_s: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(_STEPS + 1):
        for name, step in steps.items():
            state, batch = arguments[name]
            start = time.perf_counter()
            state, _ = jax.block_until_ready(step(state, batch))
            if turn:
                step_s[name].append(time.perf_counter() - start)
            arguments[name] = (state, batch)
    return step_s
