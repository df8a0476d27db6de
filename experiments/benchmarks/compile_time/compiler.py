"""What the options of XLA's compiler do: train steps compiled with its defaults, with each option, and with all."""

from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks.case import Case, Runs
from experiments.benchmarks.compile_time.stages import Rows, about
from experiments.benchmarks.rounds import Spread, fits, in_turn, timed
from madsep_jax.host.compiler import CHOSEN
from madsep_jax.train.step import jit_train_step

#: Steps of each form, in turn, after one that is not counted.
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

    compared = choices(CHOSEN.get(jax.default_backend(), {}))

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
