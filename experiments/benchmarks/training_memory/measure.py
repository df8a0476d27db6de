"""The memory that a compiled train step plans: the measurement of `experiments.training_memory`, and its table."""

from collections.abc import Sequence
from typing import Any

from experiments.benchmarks.case import Case
from experiments.benchmarks.options import saved_options
from experiments.benchmarks.training_memory.options import MemoryOptions
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.host.environment import environment
from madsep_jax.host.memory import planned_memory

_CAPTION = (
    "As the compiler plans it, nothing is run. Held: parameters, the optimiser's state and the batch. Temporary: what "
    "the step needs beside them at its peak. Total: both. Remat: keep only each block's input for the gradient; the "
    "fast form of the DWS blocks, which is for float32, does so in any case."
)


def _gib(name: str) -> Column:
    return Column(name, lambda row: None if row[name] is None else f"{row[name] / 2**30:.2f} GiB")


_COLUMNS = (
    *(Column(name, name) for name in ("operations", "precision", "remat", "parts")),
    *(_gib(name) for name in ("held", "temporary", "total")),
)


def measure(case: Case) -> dict[str, Any]:
    """Return what a train step takes, in bytes; None where the backend does not tell."""
    config, plan = case.config, planned_memory(case.jitted().lower(*case.shapes()).compile())
    return {
        "operations": config.compute.operations,
        "precision": config.compute.precision,
        "remat": "yes" if config.compute.remat else "no",
        "parts": config.training.accumulation,
        "held": plan["argument"] + plan["output"] if plan else None,
        "temporary": plan.get("temporary"),
        "total": plan.get("peak"),
    }


def make_report(rows: Sequence[Row], options: MemoryOptions) -> Report:
    """Return training_memory.json and table.md."""
    found = environment()
    about = f"{options.system}, batch {options.batch}, {found['device']}, jax {found['versions']['jax']}."
    content = {**made_with(saved_options(options)), "bytes": rows}
    return Report("training_memory", content, [Table(_COLUMNS, rows, f"{about} {_CAPTION}")])
