"""The options of `experiments.evaluation_speed`."""

from pathlib import Path
from typing import Annotated, Literal

from experiments.cli.options import Many, Out, Whole, option_class, require_at_least
from experiments.data.options import EMBEDDED
from experiments.scoring.protocols import PROTOCOLS, EngineName, ProtocolName, TargetSet
from madsep_jax.errors import InputError

Case = Literal["leaking", "swapped", "offset", "silent", "perfect", "short"]
ENGINES: tuple[EngineName, ...] = ("jax", "museval")


@option_class
class SpeedOptions:
    """What to score, and how often."""

    data: str = EMBEDDED
    """Songs: 'embedded' (those to test on, made from a seed, nothing to download), or all of a folder in a layout of
    the ablation's --data."""

    targets: TargetSet = "voice"
    """voice: vocals and accompaniment. stems: vocals, drums, bass and other."""

    cases: Annotated[tuple[Case, ...], Many] = ("leaking",)
    """Estimates of the songs: leaking (into each other, with noise), swapped (each the next source), offset (leaking,
    with a direct current on it, as the sources have then), silent (one of them), perfect, or short (leaking, of half a
    second)."""

    seconds: float = 240.0
    """Length of the made-up stereo song."""

    protocols: Annotated[tuple[ProtocolName, ...], Many] = ("sisec18", "paper")
    """What to compute: those that both engines have."""

    repeats: Annotated[int, Whole] = 3
    """Rounds, in which both engines score the same songs in turn."""

    enough: float = 30.0
    """Seconds after which a set of songs gets no other round."""

    out: Annotated[Path, Out] = Path("runs/evaluation_speed")
    """Folder of evaluation_speed.json and table.md."""

    def __post_init__(self) -> None:
        require_at_least(self, repeats=1, seconds=1)
        for protocol in self.protocols:
            if len(PROTOCOLS[protocol].engines) < len(ENGINES):
                raise InputError(f"--protocols {protocol}: museval does not have it, expected sisec18 or paper")
