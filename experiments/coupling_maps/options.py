"""The options of `experiments.couplings`."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from experiments.cli.options import (
    CodeOptions,
    Many,
    ManyOrNone,
    OptionsOf,
    Out,
    Systems,
    WhichWeights,
    Whole,
    option_class,
    options_of,
)
from experiments.data.options import EMBEDDED
from madsep_jax.config.couplings import CouplingsConfig
from madsep_jax.errors import InputError
from madsep_jax.host.files import user_cache


@options_of(CouplingsConfig)
class FitOptions(OptionsOf[CouplingsConfig]):
    """How to fit the matrix."""


@option_class
class CouplingsOptions:
    """Which separators to look into, on which songs, and how."""

    checkpoint: Annotated[tuple[Path, ...], Many]
    """Folders of trained separators: checkpoints, rows of the ablation (runs/…/rows/…), or that of an ablation (runs/…)
    for all of its finished rows."""

    systems: Annotated[tuple[str, ...], ManyOrNone, Systems] = ()
    """Of these only the trainings of such systems, by the names that the ablation takes; my_masker.py:TcnMasker for a
    masker of your own, whose file is run. Default: all."""

    which: WhichWeights = None

    own: CodeOptions = field(default_factory=CodeOptions)

    out: Annotated[Path, Out]
    """Folder of the results: report.html, couplings.json, couplings.npz and two pictures; of several separators a
    folder each. Those of an earlier run are replaced."""

    data: str = EMBEDDED
    """Songs: 'embedded' (made from a seed, nothing to download), or a folder in the layout of DSD100 or MUSDB18-HQ.
    Its test songs are used."""

    form: Literal["auto", "compositional", "student"] = "auto"
    """The matrix's form: compositional (from the model's layers, for dae, dae-deep and skip-filtering), or student (for
    every system). Default: compositional where it can be; of several separators student, from zeros, so that all maps
    are of one kind."""

    songs: Annotated[int | None, Whole] = None
    """Use so many test songs, the first ones. Default: all."""

    frames: Annotated[int, Whole] = 1024
    """Fit to so many frames, taken at even distances over the songs."""

    fit: FitOptions = field(default_factory=FitOptions)
    """How to fit the matrix."""

    cache: Path = field(default_factory=user_cache)
    """Folder of computed spectrograms, shared by all experiments."""

    def __post_init__(self) -> None:
        for name in ("songs", "frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name}: found {value}, expected a positive number")
