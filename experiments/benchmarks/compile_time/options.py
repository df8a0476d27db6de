"""The options of `experiments.compile_time`."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from experiments.benchmarks.options import Form, Mode, SizeOptions, require_some
from experiments.benchmarks.planned.devices import Target, find_target
from experiments.cli.options import (
    Many,
    ManyOrNone,
    Out,
    Preset,
    Switch,
    Systems,
    Whole,
    option_class,
    require_at_least,
)
from madsep_jax.config.io import override
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import Precision, RunConfig
from madsep_jax.config.systems import expand

PartName = Literal["systems", "depth", "length", "start", "export", "compiler", "op-by-op"]


@option_class
class CompileOptions(SizeOptions):
    """What to compile, how often, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone, Systems] = ()
    """Systems to compile, by the names of `experiments.ablation`; dws for each of --depths with --channels. Default:
    mad, dws-5-64 and dws-7-256, with --target all; with --preset quick its small ones."""

    modes: Annotated[tuple[Mode, ...], Many] = ("train", "forward")
    """Train step, forward pass, or both; depth, length, start and compiler are of the train step alone."""

    parts: Annotated[tuple[PartName, ...], Many] = get_args(PartName)
    """What to measure. systems: the stages of compiling each system. depth: against L_enc, scanned and unrolled.
    length: against the sequence length. start: the first step of a new process, with an empty and a filled compilation
    cache, and from an exported program. export: writing and reading programs. compiler: with and without the options
    that XLA is given. op-by-op: the plain operations compiled and not."""

    depths: Annotated[tuple[int, ...], Many, Whole] = (5, 7, 9, 11, 13, 15)
    """L_enc in the part depth."""

    channels: Annotated[int, Whole] = 64
    """C in the part depth."""

    lengths: Annotated[tuple[int, ...], Many, Whole] = (60, 120, 240, 480)
    """Frames of a sequence in the part length, and with --target."""

    small_systems: Annotated[tuple[str, ...], ManyOrNone, Systems] = ()
    """Systems of the parts length, compiler and op-by-op, which take time and memory. Default: the first two of
    --systems."""

    repeats: Annotated[int, Whole] = 3
    """How often each thing is measured; less often, once at least, where that takes more than a minute."""

    preset: Preset = "paper"
    """Size of the signal and recipe: paper, released_code, or quick."""

    batch: Annotated[int | None, Whole] = None
    """Sequences in a batch. Default: the preset's."""

    operations: Literal["auto", "plain", "fast"] = "auto"
    """Form of the operations, as `compute.operations` of the configuration."""

    out: Annotated[Path | None, Out] = None
    """Folder of compile_time.json (with --target compile_time_targets.json), table.md and plots. What is there of the
    same settings is kept. Default: runs/compile-time, with --target runs/compile-time-targets."""

    def __post_init__(self) -> None:
        require_at_least(self, repeats=1)
        require_some(self, "modes", "parts", "depths", "lengths")

    def folder(self, planned: bool) -> Path:
        """Return the folder of the results: of what is measured here, or of what is planned for other devices."""
        return self.out or Path("runs") / ("compile-time-targets" if planned else "compile-time")

    def base(self) -> RunConfig:
        """Return what all programs share. Raises InputError on a value that the configuration refuses."""
        batch = {} if self.batch is None else {"training.batch_size": self.batch}
        return override(preset_config(self.preset), {"compute.operations": self.operations, **batch})

    def expand(self, systems: tuple[str, ...]) -> list[str]:
        """Return the systems of those names; dws for each of the depths. Raises InputError on an unknown one."""
        return expand(systems, self.depths, (self.channels,), self.preset)


@option_class
class TargetOptions:
    """Train steps for devices that are not here: what XLA makes of them, in place of the parts. Nothing is run."""

    target: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Devices: tpu:v5e:2x2 (v4, v5e, v5p, v6e, with a topology of XLA), cuda:h200 (t4, a100, h100, h200, b200), or
    cuda:FILE with a GPU's description as XLA takes it. Needs the extras tpu or cuda. Of --systems, every batch is
    compiled at the first of --lengths, and every length at the first batch."""

    batches: Annotated[tuple[int, ...], Many, Whole] = (4, 16, 64)
    """Sequences in a batch, with --target."""

    shared: Annotated[tuple[int, ...], Many, Whole] = (1,)
    """Devices of the target that share a batch, with --target: several GPUs, or the chips of a TPU's topology."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32",)
    """Arithmetic, with --target."""

    forms: Annotated[tuple[Form, ...], Many] = ("auto",)
    """Forms of the operations, with --target."""

    again: Annotated[bool, Switch] = False
    """Compile those again that the folder of results has."""

    def __post_init__(self) -> None:
        require_some(self, "batches", "shared", "precisions", "forms")

    def targets(self) -> list[Target]:
        """Return what to compile for. Raises InputError on a name that is not known."""
        return [find_target(name) for name in dict.fromkeys(self.target)]
