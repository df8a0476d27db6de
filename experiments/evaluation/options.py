"""The options of the evaluation."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from experiments.cli.options import (
    CodeOptions,
    ManyOrNone,
    Out,
    Switch,
    WhichWeights,
    Whole,
    option_class,
    require_at_least,
)
from experiments.scoring.protocols import EngineName, ProtocolName, TargetSet, protocol_of
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores


@option_class
class EvaluateOptions:
    """What to score, on what, and how."""

    data: str
    """The true sources: a folder in any layout of the ablation's --data, or 'embedded'."""

    estimates: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Folders of separated songs, made by any tool, by the songs' names in --data: SONG/vocals.wav, SONG_vocals.wav,
    1_SONG_(Vocals).flac, SONG/mixture/vocals.mp3 and the like. NAME=FOLDER names the system; else it has the folder's
    name."""

    estimate_name: str = ""
    """How the files of --estimates are named where that is not found: a path with {song}, {stem} and * in it, as
    '*/{song}-{stem}-v2.wav'."""

    skip_bad: Annotated[bool, Switch] = False
    """Leave out songs that cannot be used, or whose estimates cannot, in place of naming them all and ending."""

    checkpoint: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Trained separators, which separate the songs first: checkpoints, or rows of the ablation (runs/…/rows/…).
    NAME=FOLDER as above."""

    which: WhichWeights = None

    own: CodeOptions = field(default_factory=CodeOptions)

    targets: TargetSet = "voice"
    """voice: vocals and accompaniment (accompaniment.wav, instrumental.wav or no_vocals.wav; else the sum of drums,
    bass, other and further parts; else mixture - vocals). stems: vocals, drums, bass and other, each against the
    others."""

    split: Literal["test", "train", "valid"] = "test"
    """Which songs."""

    protocol: ProtocolName = "sisec18"
    """sisec18 (BSSEval v4, 1 s windows), paper (BSS-eval images, 30 s segments every 15 s), usdr (SDR of whole songs),
    or si-sdr."""

    engine: EngineName = "jax"
    """jax, or museval, whose scores it equals (sisec18 and paper)."""

    compare: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to compare song by song, by their names, each with every other one; they may be of an earlier command in
    the same --out."""

    out: Annotated[Path | None, Out] = None
    """Folder of the results; the same command in the same folder continues. Default: runs/evaluate-PROTOCOL-DATA."""

    processes: Annotated[int, Whole] = field(default_factory=cpu_cores)
    """Songs that are scored at a time."""

    no_excerpts: Annotated[bool, Switch] = False
    """Keep no sound for report.html: else 15 s of each song and its estimates, in all up to half a megabyte a song and
    system."""

    def __post_init__(self) -> None:
        protocol_of(self.protocol, self.engine)
        require_at_least(self, processes=1)
        if not (self.estimates or self.checkpoint or self.compare):
            raise InputError("found nothing to score, expected --estimates, --checkpoint or --compare")
        if len(self.compare) == 1 or len(set(self.compare)) < len(self.compare):
            raise InputError(f"--compare {' '.join(self.compare)}: expected two or more systems, each of them once")

    def check_compared(self, known: set[str]) -> None:
        """Raise InputError where a system to compare is none of those that are known."""
        for name in self.compare:
            if name not in known:
                raise InputError(f"--compare {name}: unknown, expected one of {', '.join(sorted(known)) or 'none'}")

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.out or Path("runs") / f"evaluate-{self.protocol}-{Path(self.data).resolve().name}"
