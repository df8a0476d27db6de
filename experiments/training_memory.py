"""Memory of a train step as it is compiled: in float32 and bfloat16, with blocks kept or computed again, in parts.

`python -m experiments.training_memory` takes the largest DWS-CNN of the paper's Table I at batch 64. Nothing is run:
the compiler plans all memory of a step before, and says how much.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from cyclopts import App, Parameter
from tabulate import tabulate

from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.option_types import Many, Whole
from experiments.progress import Bar, make_console, say
from experiments.systems import expand, fields_of
from madsep_jax.config import DwsMaskerConfig, RunConfig
from madsep_jax.config_io import override
from madsep_jax.environment import environment
from madsep_jax.errors import InputError
from madsep_jax.files import write_json, write_text
from madsep_jax.precision import Precision
from madsep_jax.presets import preset_config
from madsep_jax.train import init_state, jit_train_step, make_train_step, zero_batch

_GIB = 2**30
_CAPTION = (
    "As the compiler plans it, nothing is run. Held: parameters, the optimiser's state and the batch. Temporary: what "
    "the step needs beside them at its peak. Total: both. Remat: keep only each block's input for the gradient; the "
    "fast form of the DWS blocks, which is for float32, does so in any case."
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """What to compile, and where to keep the results."""

    system: str = "dws-15-256"
    """System to train, by the names of `experiments.ablation`."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

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
        if len(expand((self.system,), (), (), self.preset)) != 1:
            raise InputError(f"--system: found {self.system!r}, expected one system")
        for name in ("precisions", "accumulate", "operations"):
            if not getattr(self, name):
                raise InputError(f"--{name}: found nothing, expected at least one")

    def configs(self) -> list[RunConfig]:
        """Return the variants, each with and without remat. Raises InputError where one cannot be.

        The fast form of the DWS blocks has neither, nor bfloat16.
        """
        base = override(preset_config(self.preset), {"training.batch_size": self.batch})
        config = override(base, fields_of(self.system, base))
        is_dws = isinstance(config.masker, DwsMaskerConfig)
        return [
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
            if not (is_dws and form == "fast" and (remat or precision == "bfloat16"))
        ]


_DEFAULTS = MemoryOptions()
app = App(name="training_memory", usage="Usage: python -m experiments.training_memory [OPTIONS]", version_flags=[])


@app.default
def training_memory(options: MemoryOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Compile a train step in float32 and bfloat16, with blocks kept or computed again, and say what each takes."""
    console = make_console()
    show_device(console, device)
    rows = []
    with Bar(console, "compiling", len(options.configs())) as bar:
        for config in options.configs():
            rows.append(planned_memory(config))
            bar.advance()
    text = _markdown(rows, options)
    write_text(options.out / "table.md", text)
    settings = {**asdict(options), "out": options.out.name}
    write_json(
        options.out / "training_memory.json", {"environment": environment(), "settings": settings, "bytes": rows}
    )
    say(console, text)
    say(console, f"Results: {options.out}/ (training_memory.json, table.md)")


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
