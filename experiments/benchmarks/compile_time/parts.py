"""The parts of `experiments.compile_time`: which programs each is about, and how it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.compile_time.options import CompileOptions, PartName
from experiments.benchmarks.compile_time.stages import Rows, measure_stages
from experiments.benchmarks.compile_time.starts import measure_export, measure_starts
from experiments.benchmarks.compile_time.steps import measure_op_by_op, measure_options
from experiments.benchmarks.options import Mode
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.models.contract import config_of
from madsep_jax.ops.choice import target_of

#: What is compiled where no systems are named.
_FULL_SIZE_SYSTEMS = ("mad", "dws-5-64", "dws-7-256")

#: How many of them the parts length, compiler and op-by-op take: op by op, a step of dws-5-64 needs 7 GB and half a
#: minute.
_SMALL_SYSTEMS = 2


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
    """Return the parts that the options ask for, in order. Raises InputError where one cannot be measured."""
    base = options.base()
    if "start" in options.parts and target_of(base.compute) == "tpu":
        raise InputError(
            "--parts start: found a TPU, which one process at a time can use, where this part starts others; expected "
            "the other parts alone (--help lists them)"
        )

    def case(system: str, mode: Mode = "train", changes: dict[str, Any] | None = None) -> Case:
        return Case(system=system, mode=mode, config=config_of(system, base, changes))

    systems = options.expand(options.named_or(options.systems, _FULL_SIZE_SYSTEMS))
    small = options.expand(options.small_systems or tuple(systems[:_SMALL_SYSTEMS]))
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
