"""The options of `experiments.training_memory`."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from experiments.benchmarks.options import SystemOptions, require_some
from experiments.cli.options import Many, Out, Whole, option_class
from madsep_jax.config.run import Precision

if TYPE_CHECKING:
    from experiments.benchmarks.case import Case


@option_class
class MemoryOptions(SystemOptions):
    """What to compile, and where to keep the results."""

    system: str = "dws-15-256"

    batch: Annotated[int, Whole] = 64
    """Sequences in a batch."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32", "bfloat16")
    """Arithmetic."""

    accumulate: Annotated[tuple[int, ...], Many, Whole] = (1,)
    """Parts of a batch that are taken one after the other."""

    operations: Annotated[tuple[Literal["plain", "fast"], ...], Many] = ("plain", "fast")
    """Forms of the operations. The fast one of the DWS blocks is for float32, and computes again what lies inside them
    in any case."""

    out: Annotated[Path, Out] = Path("runs") / "training_memory"
    """Folder of training_memory.json and table.md."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "precisions", "accumulate", "operations")

    def cases(self) -> "list[Case]":
        """Return the variants, each with and without remat. Raises InputError where one cannot be.

        The fast form of the DWS blocks is listed without remat and in float32 alone.
        """
        from experiments.benchmarks.case import Case
        from madsep_jax.models.registry import architecture_of

        case = Case.of(self.system, "train", self.batch, None, self.preset)
        names = ("compute.operations", "compute.precision", "training.accumulation", "compute.remat")
        ways = itertools.product(self.operations, self.precisions, self.accumulate, (False, True))
        variants = [case.changed(dict(zip(names, way, strict=True))) for way in ways]
        has_fast_form = architecture_of(case.config.masker).has_fast_form
        computes = [(one, one.config.compute) for one in variants]
        return [one for one, how in computes if how.operations == "plain" or has_fast_form(how)]
