"""The options of `experiments.couplings`."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from experiments.cli.options import CodeOptions, OptionsOf, Out, WhichWeights, Whole, option_class, options_of
from experiments.data.options import EMBEDDED
from madsep_jax.config.couplings import CouplingsConfig
from madsep_jax.errors import InputError
from madsep_jax.host.files import user_cache


@options_of(CouplingsConfig)
class FitOptions(OptionsOf[CouplingsConfig]):
    """How to fit the matrix."""


@option_class
class CouplingsOptions:
    """Which separator to look into, on which songs, and how."""

    checkpoint: Path
    """Folder of a trained separator: a checkpoint, or a row of the ablation (runs/…/rows/…)."""

    which: WhichWeights = None

    own: CodeOptions = field(default_factory=CodeOptions)

    out: Annotated[Path, Out]
    """Folder of the results: couplings.json, couplings.npz and two pictures. Those of an earlier run are replaced."""

    data: str = EMBEDDED
    """Songs: 'embedded' (made from a seed, nothing to download), or a folder in the layout of DSD100 or MUSDB18-HQ.
    Its test songs are used."""

    form: Literal["auto", "compositional", "student"] = "auto"
    """The matrix's form: compositional (from the model's layers, for dae, dae-deep and skip-filtering), or student (for
    every system). Default: compositional where it can be."""

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
