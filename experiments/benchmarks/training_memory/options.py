"""The options of `experiments.training_memory`."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.benchmarks.options import SystemOptions, require_some
from experiments.cli.options import Many, Whole
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import Precision, RunConfig
from madsep_jax.config.systems import fields_of
from madsep_jax.models.registry import architecture_of


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
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

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs") / "training_memory"
    """Folder of training_memory.json and table.md."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_some(self, "precisions", "accumulate", "operations")

    def configs(self) -> list[RunConfig]:
        """Return the variants, each with and without remat. Raises InputError where one cannot be.

        The fast form of the DWS blocks has neither, nor bfloat16.
        """
        base = override(preset_config(self.preset), {"training.batch_size": self.batch})
        config = override(base, fields_of(self.system, base))
        has_fast_form = architecture_of(config.masker).has_fast_form
        variants = [
            override(
                config,
                {
                    "compute.operations": form,
                    "compute.precision": precision,
                    "compute.remat": remat,
                    "training.accumulation": parts,
                },
            )
            for form, precision, parts, remat in itertools.product(
                self.operations, self.precisions, self.accumulate, (False, True)
            )
        ]
        return [one for one in variants if one.compute.operations == "plain" or has_fast_form(one.compute)]
