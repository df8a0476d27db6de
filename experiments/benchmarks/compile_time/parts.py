"""The parts of the measurement: which programs each one is about, and how it measures them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.compile_time.compiler import measure_options
from experiments.benchmarks.compile_time.exported import measure_exports
from experiments.benchmarks.compile_time.op_by_op import measure_op_by_op
from experiments.benchmarks.compile_time.options import CompileOptions, PartName
from experiments.benchmarks.compile_time.processes import STARTS, measure_starts
from experiments.benchmarks.compile_time.programs import Mode, Program
from experiments.benchmarks.compile_time.stages import measure_stages
from madsep_jax.config.io import override
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import fields_of

Advance = Callable[[], None]

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One part."""

    measure: Callable[[Sequence[Program], int, Advance], Rows]
    """From the programs, how often to repeat, and what to call when that has advanced."""
    programs: Sequence[Program]
    advances: int = 1
    """How often it advances for a program and a repeat."""


def make_parts(options: CompileOptions, base: RunConfig) -> dict[PartName, Part]:
    """Return the parts that the options ask for, in order. Raises InputError where a system does not fit the base."""

    def program(system: str, mode: Mode = "train", changes: dict[str, Any] | None = None) -> Program:
        return Program(system, mode, override(override(base, fields_of(system, base)), changes or {}))

    systems, small = options.chosen_systems, options.chosen_small_systems
    in_all_modes = [program(system, mode) for system in systems for mode in options.modes]
    depths = [
        program(f"dws-{layers}-{options.channels}", changes={"compute.blocks": blocks})
        for layers in options.depths
        for blocks in ("scanned", "unrolled")
    ]
    lengths = [program(system, changes={"sequences.frames": frames}) for system in small for frames in options.lengths]
    # The forms written for speed are loops that only a compiler makes fast: uncompiled, the plain ones are.
    plain = {"compute.operations": "plain"} if options.operations == "auto" else {}
    op_by_op = [program(system, mode, plain) for system in small for mode in options.modes]
    parts: dict[PartName, Part] = {
        "systems": Part(measure_stages, in_all_modes),
        "depth": Part(measure_stages, depths),
        "length": Part(measure_stages, lengths),
        "start": Part(measure_starts, [program(system) for system in systems], len(STARTS)),
        "export": Part(measure_exports, in_all_modes),
        "compiler": Part(measure_options, [program(system) for system in small]),
        "op-by-op": Part(measure_op_by_op, op_by_op),
    }
    return {name: part for name, part in parts.items() if name in options.parts}
