"""The parts of the measurement: which programs each one is about, and how it measures them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from experiments.benchmarks.case import Case, Mode
from experiments.benchmarks.compile_time.compiler import measure_options
from experiments.benchmarks.compile_time.exported import measure_export
from experiments.benchmarks.compile_time.op_by_op import measure_op_by_op
from experiments.benchmarks.compile_time.options import CompileOptions, PartName
from experiments.benchmarks.compile_time.processes import measure_starts
from experiments.benchmarks.compile_time.stages import Rows, measure_stages
from madsep_jax.config.io import override, to_dict
from madsep_jax.config.systems import fields_of
from madsep_jax.host.compiler import without_compilation_cache

Advance = Callable[..., object]


@dataclass(frozen=True)
class Part:
    """One part."""

    measure: Callable[[Sequence[Case], int, Advance], Rows]
    """From the cases, how often to repeat, and what to call once for each case and repeat."""
    cases: Sequence[Case]

    def run(self, repeats: int, advance: Advance) -> Rows:
        """Measure it, with no persistent compilation cache in this process."""
        with without_compilation_cache():
            rows = self.measure(self.cases, repeats, advance)
        jax.clear_caches()
        return rows

    @property
    def configs(self) -> dict[str, Any]:
        """Return the whole configuration of each system, as it is at its first program."""
        configs: dict[str, Any] = {}
        for case in self.cases:
            configs.setdefault(case.system, to_dict(case.config))
        return configs


def make_parts(options: CompileOptions) -> dict[PartName, Part]:
    """Return the parts that the options ask for, in order. Raises InputError where a system does not fit the base."""
    base = options.base()

    def case(system: str, mode: Mode = "train", changes: dict[str, Any] | None = None) -> Case:
        config = override(override(base, fields_of(system, base)), changes or {})
        return Case(system=system, mode=mode, config=config)

    systems, small = options.chosen_systems, options.chosen_small_systems
    in_all_modes = [case(system, mode) for system in systems for mode in options.modes]
    depths = [
        case(f"dws-{layers}-{options.channels}", changes={"compute.blocks": blocks})
        for layers in options.depths
        for blocks in ("scanned", "unrolled")
    ]
    lengths = [case(system, changes={"sequences.frames": frames}) for system in small for frames in options.lengths]
    # The forms written for speed are loops that only a compiler makes fast: uncompiled, the plain ones are.
    plain = {"compute.operations": "plain"} if options.operations == "auto" else {}
    op_by_op = [case(system, mode, plain) for system in small for mode in options.modes]
    parts: dict[PartName, Part] = {
        "systems": Part(measure_stages, in_all_modes),
        "depth": Part(measure_stages, depths),
        "length": Part(measure_stages, lengths),
        "start": Part(measure_starts, [case(system) for system in systems]),
        "export": Part(_one_by_one(measure_export), in_all_modes),
        "compiler": Part(_one_by_one(measure_options), [case(system) for system in small]),
        "op-by-op": Part(_one_by_one(measure_op_by_op), op_by_op),
    }
    return {name: part for name, part in parts.items() if name in options.parts}


def _one_by_one(measure: Callable[[Case, int, Advance], Rows]) -> Callable[[Sequence[Case], int, Advance], Rows]:
    return lambda cases, repeats, advance: [row for case in cases for row in measure(case, repeats, advance)]
