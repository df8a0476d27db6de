"""Time the scoring of songs by madsep_jax.bss_eval and by museval, and measure the memory that the former needs.

`python -m experiments.evaluation_speed --data ../shared/corpus` takes two CPU cores about seven minutes.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from experiments.command import run
from experiments.device_line import ANY_DEVICE, DeviceOptions, show_device
from experiments.evaluation_timing.cases import ScoredSong, made_up_song, songs_of
from experiments.evaluation_timing.new_process import NewProcess, run_new_process
from experiments.evaluation_timing.report import CaseResult, Report
from experiments.evaluation_timing.rounds import measure
from experiments.option_types import Many, Whole
from experiments.progress import Bar, make_console, say
from experiments.scoring.protocols import PROTOCOLS, EngineName, ProtocolName
from madsep_jax.environment import cpu_cores
from madsep_jax.errors import InputError

_ENGINES: tuple[EngineName, ...] = ("jax", "museval")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """What to score, and how often."""

    data: Path = Path("../shared/corpus")
    """Songs, in a layout of the ablation's --data; left out where the folder is not there."""

    seconds: float = 240.0
    """Length of the made-up stereo song."""

    protocols: Annotated[tuple[ProtocolName, ...], Many] = ("sisec18", "paper")
    """What to compute: those that both engines have."""

    repeats: Annotated[int, Whole] = 3
    """Rounds, in which both engines score the same songs in turn."""

    enough: float = 30.0
    """Seconds after which a set of songs gets no other round."""

    out: Annotated[Path, Parameter(alias="-o")] = Path("runs/evaluation_speed")
    """Folder of evaluation_speed.json and table.md."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise InputError(f"--repeats: found {self.repeats}, expected at least 1")
        for protocol in self.protocols:
            if len(PROTOCOLS[protocol].engines) < len(_ENGINES):
                raise InputError(f"--protocols {protocol}: museval does not have it, expected sisec18 or paper")
        if not self.seconds >= 1:
            raise InputError(f"--seconds: found {self.seconds}, expected at least 1")


_DEFAULTS = SpeedOptions()
app = App(name="evaluation_speed", usage="Usage: python -m experiments.evaluation_speed [OPTIONS]", version_flags=[])


@app.default
def evaluation_speed(options: SpeedOptions = _DEFAULTS, device: DeviceOptions = ANY_DEVICE) -> None:
    """Time the scoring of songs by madsep_jax.bss_eval and by museval, and measure the memory that the former needs.

    Both take turns on the same songs and cores, once a song at a time, with all cores for it, and once as many songs at
    a time as there are cores. Peak memory, and the first call with its compilation, are those of a new process.
    """
    console = make_console()
    show_device(console, device)
    sets: dict[str, list[ScoredSong]] = {"real songs": songs_of(options.data)} if options.data.is_dir() else {}
    if not sets:
        say(console, f"{options.data}: no such folder, real songs are left out")
    made_up = made_up_song(options.seconds)
    sets[made_up.name] = [made_up]
    results: list[CaseResult] = []
    cases = [(protocol, name, workers) for protocol in options.protocols for name in sets for workers in _workers()]
    with Bar(console, "evaluation speed", len(cases)) as bar:
        for protocol, name, workers in cases:
            rounds = measure(sets[name], _ENGINES, protocol, workers, options.repeats, options.enough)
            results.append(CaseResult.of(protocol, name, sets[name], workers, rounds))
            bar.advance()
    new_process: dict[ProtocolName, NewProcess] = {}
    with Bar(console, "memory, first call", len(options.protocols)) as bar:
        for protocol in options.protocols:
            new_process[protocol] = run_new_process(protocol, options.seconds)
            bar.advance()
    settings = {**dataclasses.asdict(options), "data": str(options.data), "out": str(options.out)}
    report = Report(results, new_process, settings)
    report.write(options.out)
    console.print(report.terminal_table())
    say(console, report.caption())
    say(console, f"Results: {options.out}/ (evaluation_speed.json, table.md)")


def _workers() -> list[int]:
    """Return how many songs are scored at a time: one, and as many as there are cores."""
    return sorted({1, cpu_cores()})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(app, argv)


if __name__ == "__main__":
    sys.exit(main())
