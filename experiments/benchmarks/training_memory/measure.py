"""The memory that a compiled train step plans, and the table of it."""

from collections.abc import Sequence
from typing import Any

import jax

from experiments.benchmarks.options import settings_of
from experiments.benchmarks.training_memory.options import MemoryOptions
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.config.run import RunConfig
from madsep_jax.host.environment import environment
from madsep_jax.train.batch import zero_batch
from madsep_jax.train.step import init_state, jit_train_step, make_train_step

_CAPTION = (
    "As the compiler plans it, nothing is run. Held: parameters, the optimiser's state and the batch. Temporary: what "
    "the step needs beside them at its peak. Total: both. Remat: keep only each block's input for the gradient; the "
    "fast form of the DWS blocks, which is for float32, does so in any case."
)


def _gib(name: str) -> Column:
    return Column(name, lambda row: f"{row[name] / 2**30:.2f} GiB")


_COLUMNS = (
    *(Column(name, name) for name in ("operations", "precision", "remat", "parts")),
    *(_gib(name) for name in ("held", "temporary", "total")),
)


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


def make_report(rows: Sequence[Row], options: MemoryOptions) -> Report:
    """Return training_memory.json and table.md."""
    found = environment()
    about = f"{options.system}, batch {options.batch}, {found['device']}, jax {found['versions']['jax']}."
    content = {**made_with(settings_of(options)), "bytes": rows}
    return Report("training_memory", content, [Table(_COLUMNS, rows, f"{about} {_CAPTION}")])
