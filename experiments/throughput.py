"""Time the separators' inference and training steps, and PyTorch's beside them.

`python -m experiments.throughput --systems mad dws-5-64 --peer torch` takes two CPU cores about eight minutes, at full
size, batch 4 and 60 frames.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from experiments.command import INTERRUPTED, run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.host_allocator import keep_freed_memory
from experiments.option_types import Many, ManyOrNone, Whole
from experiments.progress import Bar, make_console, say
from experiments.systems import expand
from experiments.timing.cases import Case, Form, Mode, Precision
from experiments.timing.earlier import Earlier
from experiments.timing.peak import Peak, measure_peak
from experiments.timing.peer import share_memory, torch_settings
from experiments.timing.precision import computing_in
from experiments.timing.report import Report
from experiments.timing.result import VariantResult
from experiments.timing.run_case import compare_training_losses, run_case
from madsep_jax.errors import InputError

#: What is timed where no systems are named, by preset.
_SYSTEMS = {"quick": ("mad", "dws-3-16", "dws-5-32")}
_FULL_SIZE_SYSTEMS = ("mad", "mad-twinnet", "dws-5-64", "dws-7-256")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ThroughputOptions:
    """What to time, at which sizes, and where to keep the results."""

    systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to time, by the names of `experiments.ablation`. Default: mad, mad-twinnet, dws-5-64 and dws-7-256; with
    --preset quick its small ones."""

    batches: Annotated[tuple[int, ...], Many] = (4,)
    """Sequences in a batch."""

    lengths: Annotated[tuple[int, ...], Many] = (60,)
    """Frames of a sequence, 10 on each side of them context."""

    modes: Annotated[tuple[Mode, ...], Many] = ("forward", "train")
    """Inference, train step, or both."""

    forms: Annotated[tuple[Form, ...], Many] = ("auto",)
    """Forms of our operations, as `compute.operations` of the configuration."""

    precisions: Annotated[tuple[Precision, ...], Many] = ("float32",)
    """float32, in matrix products and convolutions too; tf32 (GPU only): what those round to; float64."""

    peer: Literal["torch"] | None = None
    """Time PyTorch as well, eager, on the same weights, after comparing its outputs with ours."""

    keep_freed_memory: Annotated[bool, Parameter(negative=())] = False
    """Have the C library keep the memory that both sides free, for their next step; glibc gives large arrays back to
    the system otherwise, and asks for each anew."""

    steps: Annotated[int, Whole] = 20
    """Timed steps of each variant."""

    seconds: float = 60.0
    """A variant whose timed steps take so long in all does fewer, but one in each turn."""

    turns: Annotated[int, Whole] = 5
    """Over how many turns the steps of a variant are spread. Each starts with one more step, which is not timed."""

    seed: Annotated[int, Whole] = 0
    """Of weights and data."""

    preset: str = "paper"
    """Size of the signal and recipe: paper, or quick (a quarter of the size)."""

    out: Annotated[Path | None, Parameter(alias="-o")] = None
    """Folder of throughput.json, table.md, summary.md and plots; what was timed there before, in the same way and on
    the same machine, is kept. Default: runs/throughput-PRESET."""

    def __post_init__(self) -> None:
        for name in ("batches", "lengths", "modes", "forms", "precisions"):
            if not getattr(self, name):
                raise InputError(f"--{name}: found nothing, expected at least one")
        for name in ("steps", "turns"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}: found {getattr(self, name)}, expected at least 1")
        if not self.seconds > 0:
            raise InputError(f"--seconds: found {self.seconds}, expected a positive number")

    def cases(self) -> list[Case]:
        """Return what is to be timed, one after the other. Raises InputError where one cannot be."""
        systems = expand(self.systems or _SYSTEMS.get(self.preset, _FULL_SIZE_SYSTEMS), (), (), self.preset)
        return [
            Case.of(system, mode, batch, frames, self.preset, precision=precision, seed=self.seed)
            for precision in dict.fromkeys(self.precisions)
            for system in systems
            for frames in dict.fromkeys(self.lengths)
            for batch in dict.fromkeys(self.batches)
            for mode in dict.fromkeys(self.modes)
        ]


_DEFAULTS = ThroughputOptions()
app = App(name="throughput", usage="Usage: python -m experiments.throughput [OPTIONS]", version_flags=[])


@app.default
def throughput(options: ThroughputOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> int:
    """Time the separators' inference and training steps, and PyTorch's beside them.

    All variants of one system and size take turns in one process. Results are written after each.
    """
    console = make_console()
    cases = options.cases()
    if options.keep_freed_memory and not keep_freed_memory():
        raise InputError("--keep-freed-memory: found another C library, expected glibc")
    out = options.out or Path("runs") / f"throughput-{options.preset}"
    with_torch = options.peer == "torch"
    if with_torch:
        share_memory()
    settings = {"options": _json_options(options, out), "torch": torch_settings() if with_torch else None}
    show_device(console, device)
    earlier = Earlier.find(out, settings, cases)
    peaks = _faster(earlier.peaks, _measured_peaks(options))
    results = list(earlier.results)
    already = len(results)
    try:
        with Bar(console, "throughput", len(cases)) as bar:
            for number, case in enumerate(cases):

                def on_stage(stage: str, number: int = number, case: Case = case) -> None:
                    bar.advance_to(number, f"{case.title}: {stage}")

                if with_torch and not any(_same_system(case, result) for result in results[already:]):
                    on_stage("comparing training losses")
                    compare_training_losses(case, options.forms)
                results += run_case(
                    case, options.forms, options.steps, options.seconds, options.turns, with_torch, on_stage
                )
                Report(results, peaks, settings, earlier.runs).write(out)
                bar.advance_to(number + 1)
    except KeyboardInterrupt:
        say(console, f"interrupted; what was measured until then: {out}/" if results[already:] else "interrupted")
        return INTERRUPTED
    report = Report(results, _faster(peaks, _measured_peaks(options)), settings, earlier.runs)
    report.write(out)
    console.print(report.terminal_table())
    console.print(report.caption(), markup=False)
    for line in report.disturbed():
        say(console, line)
    say(console, f"Results: {out}/ (throughput.json, table.md, summary.md, plots)")
    return 0


def _same_system(case: Case, result: VariantResult) -> bool:
    return (case.system, case.precision) == (result.system, result.precision)


def _measured_peaks(options: ThroughputOptions) -> dict[str, Peak]:
    peaks: dict[str, Peak] = {}
    for precision in options.precisions:
        with computing_in(precision):  # says at once where there is no such precision
            peaks[precision] = measure_peak(precision)
    return peaks


def _faster(before: Mapping[str, Peak], now: Mapping[str, Peak]) -> dict[str, Peak]:
    """Return the faster measurement of each peak: the machine's speed moves."""
    both = [*now.items(), *before.items()]
    return {
        precision: max((peak for name, peak in both if name == precision), key=lambda peak: peak.gflop_per_s)
        for precision in dict(both)
    }


def _json_options(options: ThroughputOptions, out: Path) -> dict[str, Any]:
    return {**dataclasses.asdict(options), "out": str(out)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
