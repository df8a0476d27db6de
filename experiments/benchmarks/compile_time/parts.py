"""The options of `experiments.compile_time`, and the parts of it: which programs each is about, and how it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import jax

from experiments.benchmarks.case import Case, Mode
from experiments.benchmarks.compile_time.stages import Rows, measure_stages
from experiments.benchmarks.compile_time.starts import measure_export, measure_starts
from experiments.benchmarks.compile_time.steps import measure_op_by_op, measure_options
from experiments.benchmarks.options import SizeOptions, require_some
from experiments.cli.options import Many, ManyOrNone, Out, Whole, option_class, require_at_least
from madsep_jax.config.io import override, to_dict
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import expand, fields_of
from madsep_jax.host.compiler import without_compilation_cache

PartName = Literal["systems", "depth", "length", "start", "export", "compiler", "op-by-op"]

#: What is compiled where no systems are named.
_FULL_SIZE_SYSTEMS = ("mad", "dws-5-64", "dws-7-256")

#: How many of them the parts length, compiler and op-by-op take: op by op, a step of dws-5-64 needs 7 GB and half a
#: minute.
_SMALL_SYSTEMS = 2


@option_class
class CompileOptions(SizeOptions):
    """What to compile, how often, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to compile, by the names of `experiments.ablation`; dws for each of --depths with --channels. Default:
    mad, dws-5-64 and dws-7-256; with --preset quick its small ones."""

    modes: Annotated[tuple[Mode, ...], Many] = ("train", "forward")
    """Train step, forward pass, or both; depth, length, start and compiler are of the train step alone."""

    parts: Annotated[tuple[PartName, ...], Many] = get_args(PartName)
    """What to measure. systems: the stages of compiling each system. depth: against L_enc, scanned and unrolled.
    length: against the sequence length. start: the first step of a new process, with an empty and a filled compilation
    cache, and from an exported program. export: writing and reading programs. compiler: with and without the options
    that XLA is given. op-by-op: the plain operations compiled and not."""

    depths: Annotated[tuple[int, ...], Many] = (5, 7, 9, 11, 13, 15)
    """L_enc in the part depth."""

    channels: Annotated[int, Whole] = 64
    """C in the part depth."""

    lengths: Annotated[tuple[int, ...], Many] = (60, 120, 240, 480)
    """Frames of a sequence in the part length."""

    small_systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems of the parts length, compiler and op-by-op, which take time and memory. Default: the first two of
    --systems."""

    repeats: Annotated[int, Whole] = 3
    """How often each thing is measured; less often, once at least, where that takes more than a minute."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, released_code, or quick."""

    batch: Annotated[int | None, Whole] = None
    """Sequences in a batch. Default: the preset's."""

    operations: Literal["auto", "plain", "fast"] = "auto"
    """Form of the operations, as `compute.operations` of the configuration."""

    out: Annotated[Path, Out] = Path("runs/compile-time")
    """Folder of compile_time.json, table.md and plots. Parts measured there before with the same settings are kept."""

    def __post_init__(self) -> None:
        require_at_least(self, repeats=1)
        require_some(self, "modes", "parts", "depths", "lengths")

    def base(self) -> RunConfig:
        """Return what all programs share. Raises InputError on a value that the configuration refuses."""
        batch = {} if self.batch is None else {"training.batch_size": self.batch}
        return override(preset_config(self.preset), {"compute.operations": self.operations, **batch})

    def expand(self, systems: tuple[str, ...]) -> list[str]:
        """Return the systems of those names; dws for each of the depths. Raises InputError on an unknown one."""
        return expand(systems, self.depths, (self.channels,), self.preset)


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
