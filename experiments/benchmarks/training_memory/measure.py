"""The memory that a compiled train step plans: the options of `experiments.training_memory`, and its table."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments.benchmarks.case import Case, planned_memory
from experiments.benchmarks.options import SystemOptions, require_some, saved_options
from experiments.cli.options import Many, Out, Whole, option_class
from experiments.cli.results import Column, Report, Row, Table, made_with
from madsep_jax.config.run import Precision
from madsep_jax.host.environment import environment
from madsep_jax.models.registry import architecture_of

_CAPTION = (
    "As the compiler plans it, nothing is run. Held: parameters, the optimiser's state and the batch. Temporary: what "
    "the step needs beside them at its peak. Total: both. Remat: keep only each block's input for the gradient; the "
    "fast form of the DWS blocks, which is for float32, does so in any case."
)


@option_class
class MemoryOptions(SystemOptions):
    """What to compile, and where to keep the results."""

    system: str = "dws-15-256"

    batch: Annotated[int, Whole] = 64
    """Sequences in a batch."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32", "bfloat16")
    """Arithmetic."""

    accumulate: Annotated[tuple[int, ...], Many] = (1,)
    """Parts of a batch that are taken one after the other."""

    operations: Annotated[tuple[Literal["plain", "fast"], ...], Many] = ("plain", "fast")
    """Forms of the operations. The fast one of the DWS blocks is for float32, and computes again what lies inside them
    in any case."""

    out: Annotated[Path, Out] = Path("runs") / "training_memory"
    """Folder of training_memory.json and table.md."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "precisions", "accumulate", "operations")

    def cases(self) -> list[Case]:
        """Return the variants, each with and without remat. Raises InputError where one cannot be.

        The fast form of the DWS blocks is listed without remat and in float32 alone.
        """
        case = Case.of(self.system, "train", self.batch, None, self.preset)
        names = ("compute.operations", "compute.precision", "training.accumulation", "compute.remat")
        ways = itertools.product(self.operations, self.precisions, self.accumulate, (False, True))
        variants = [case.changed(dict(zip(names, way, strict=True))) for way in ways]
        has_fast_form = architecture_of(case.config.masker).has_fast_form
        computes = [(one, one.config.compute) for one in variants]
        return [one for one, how in computes if how.operations == "plain" or has_fast_form(how)]


def _gib(name: str) -> Column:
    return Column(name, lambda row: f"{row[name] / 2**30:.2f} GiB")


_COLUMNS = (
    *(Column(name, name) for name in ("operations", "precision", "remat", "parts")),
    *(_gib(name) for name in ("held", "temporary", "total")),
)


def measure(case: Case) -> dict[str, Any]:
    """Return what a train step takes, in bytes."""
    config, plan = case.config, planned_memory(case.jitted().lower(*case.shapes()).compile())
    return {
        "operations": config.compute.operations,
        "precision": config.compute.precision,
        "remat": "yes" if config.compute.remat else "no",
        "parts": config.training.accumulation,
        "held": plan["argument"] + plan["output"],
        "temporary": plan["temporary"],
        "total": plan["peak"],
    }


def make_report(rows: Sequence[Row], options: MemoryOptions) -> Report:
    """Return training_memory.json and table.md."""
    found = environment()
    about = f"{options.system}, batch {options.batch}, {found['device']}, jax {found['versions']['jax']}."
    content = {**made_with(saved_options(options)), "bytes": rows}
    return Report("training_memory", content, [Table(_COLUMNS, rows, f"{about} {_CAPTION}")])
