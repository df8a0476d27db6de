"""The memory that a compiled train step plans, and the table of it."""

from collections.abc import Sequence
from typing import Any

import jax
from tabulate import tabulate

from experiments.benchmarks.training_memory.options import MemoryOptions
from madsep_jax.config.run import RunConfig
from madsep_jax.host.environment import environment
from madsep_jax.train.batch import zero_batch
from madsep_jax.train.step import init_state, jit_train_step, make_train_step

_GIB = 2**30

_CAPTION = (
    "As the compiler plans it, nothing is run. Held: parameters, the optimiser's state and the batch. Temporary: what "
    "the step needs beside them at its peak. Total: both. Remat: keep only each block's input for the gradient; the "
    "fast form of the DWS blocks, which is for float32, does so in any case."
)


def _markdown(rows: Sequence[dict[str, Any]], options: MemoryOptions) -> str:
    sizes = ("held", "temporary", "total")
    shown = [{**row, **{name: f"{row[name] / _GIB:.2f} GiB" for name in sizes}} for row in rows]
    table = tabulate(shown, headers="keys", tablefmt="github", stralign="right")
    found = environment()
    about = f"{options.system}, batch {options.batch}, {found['device']}, jax {found['versions']['jax']}."
    return f"{table}\n\n{about} {_CAPTION}\n"


def planned_memory(config: RunConfig) -> dict[str, Any]:
    """Return what a train step takes, in bytes."""
    state, batch = jax.eval_shape(lambda: (init_state(config), zero_batch(config)))
    compiled = jit_train_step(make_train_step(config)).lower(state, batch).compile()
    plan = compiled.memory_analysis()
    held = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return {
        "operations": config.compute.operations,
        "precision": config.compute.precision,
        "remat": "yes" if config.compute.remat else "no",
        "parts": config.training.accumulation,
        "held": held,
        "temporary": plan.temp_size_in_bytes,
        "total": held + plan.temp_size_in_bytes,
    }
