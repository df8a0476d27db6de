"""The options of `experiments.evaluation_speed`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from experiments.benchmarks.options import require_at_least
from experiments.cli.options import Many, Whole
from experiments.scoring.protocols import PROTOCOLS, EngineName, ProtocolName
from madsep_jax.errors import InputError

ENGINES: tuple[EngineName, ...] = ("jax", "museval")


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
        require_at_least(self, repeats=1, seconds=1)
        for protocol in self.protocols:
            if len(PROTOCOLS[protocol].engines) < len(ENGINES):
                raise InputError(f"--protocols {protocol}: museval does not have it, expected sisec18 or paper")
