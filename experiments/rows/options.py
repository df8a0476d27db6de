"""The options of the ablation."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from experiments.cli.console import DeviceOptions
from experiments.cli.options import (
    AcceptChanged,
    Many,
    ManyOrNone,
    OptionsOf,
    Out,
    Preset,
    Switch,
    Systems,
    Whole,
    option_class,
    options_of,
    require_at_least,
)
from experiments.data.options import EMBEDDED
from experiments.jobs.executor import LaunchOptions
from experiments.scoring.protocols import EngineName
from experiments.training.options import ValidationOptions
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.config.training import SavingConfig
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores
from madsep_jax.host.files import user_cache

_DEVICES = "Devices and processes"


@options_of(ParallelConfig, _DEVICES)
class ParallelOptions(OptionsOf[ParallelConfig]):
    """Devices, and steps in a call. None of them changes a result by more than rounding."""


@options_of(ProcessesConfig, _DEVICES)
class ProcessesOptions(OptionsOf[ProcessesConfig]):
    """Who trains together."""

    def config(self) -> ProcessesConfig:
        """Return the config. Raises InputError where it is only half said."""
        if 0 < len(self.given().keys() & {"coordinator", "count", "number"}) < 3:
            raise InputError("--coordinator, --process-count and --process-id: expected all three or none")
        return super().config()


@options_of(SavingConfig, "Checkpoints")
class SavingOptions(OptionsOf[SavingConfig]):
    """When to save, and what to keep."""


@options_of(RunConfig, over_preset=True)
class RunOptions(OptionsOf[RunConfig]):
    """Fields of the preset's configuration."""


@option_class
class AblationOptions:
    """What to compare, on what, and where to keep it."""

    systems: Annotated[tuple[str, ...], ManyOrNone, Systems] = ()
    """Systems to compare: mad, dws-L-C (L layers, C channels; -res, -dilated and -k3 may follow), or dws for every
    combination of --layers and --channels; mad-ris-s, mad-ris-l (recurrent inference), mad-twinnet, mad-mingru,
    mad-dilated, dilated-gru, dae, dae-deep, skip-filtering; ALL for one of each; my_masker.py:TcnMasker for a masker of
    your own, whose file is run. Default: a few that suit the preset."""

    layers: Annotated[tuple[int, ...], Many, Whole] = (5, 7, 9, 11, 13, 15)
    """L_enc of the dws grid. Default: the paper's."""

    channels: Annotated[tuple[int, ...], Many, Whole] = (64, 128, 256)
    """C of the dws grid. Default: the paper's."""

    seeds: Annotated[int | None, Whole] = None
    """Number of seeds for each system: 0, 1, … Default: 3 with the preset quick, else 1."""

    baseline: Annotated[str | None, Systems] = None
    """The system that the others are compared with, one of --systems. Default: each is compared with each."""

    vectorize_seeds: Annotated[bool, Switch] = False
    """Train the seeds of a system together, in one compiled program."""

    data: str = EMBEDDED
    """Songs: 'embedded' (made from a seed, nothing to download), or a folder in the layout of DSD100 or MUSDB18-HQ."""

    skip_bad: Annotated[bool, Switch] = False
    """Leave out songs of --data that cannot be used, in place of naming them all and ending."""

    prepared: Path | None = None
    """Train on this set, prepared by `python -m experiments.prepare` as spectrograms or as waveforms, in place of
    the training songs of --data."""

    preset: Preset = "quick"
    """Recipe: quick (a quarter of the signal size, minutes), paper (full size, as published),
    or released_code (as paper, but for what the published programs do otherwise)."""

    validation: ValidationOptions = field(default_factory=ValidationOptions)
    run: RunOptions = field(default_factory=RunOptions)

    set: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other fields of the configuration, as NAME=VALUE: training.learning_rate=0.0003 sequences.frames=120"""

    start_from: Path | None = None
    """Start the trainings from these weights, of a checkpoint, a row (runs/…/rows/…), or a file .safetensors or .pt, in
    place of random ones; all rows must be of their architecture. Optimiser and steps start anew."""

    out: Annotated[Path | None, Out] = None
    """Folder of the results; the same command in the same folder continues. Default: runs/PRESET-DATA."""

    cache: Path = field(default_factory=user_cache)
    """Folder of computed spectrograms, shared by all experiments."""

    processes: Annotated[int, Whole] = field(default_factory=cpu_cores)
    """Songs that are scored at a time."""

    engine: EngineName = "jax"
    """What scores: jax (madsep_jax.bss_eval), or museval, which gives the same scores and takes many times as long."""

    no_excerpts: Annotated[bool, Switch] = False
    """Keep no sound for report.html: else 15 s of each test song and of what each row makes of it, in all up to half a
    megabyte a song and row."""

    ignore_memory: Annotated[bool, Switch] = False
    """Train also the rows that need more memory than there is, by the compiler's plan."""

    profile: Annotated[int | None, Whole] = None
    """Write a trace of so many training steps of each row into its folder, for a profile viewer. Default: none."""

    device: DeviceOptions = field(default_factory=DeviceOptions)
    sharing: ParallelOptions = field(default_factory=ParallelOptions)
    joining: ProcessesOptions = field(default_factory=ProcessesOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)
    launch: LaunchOptions = field(default_factory=LaunchOptions)

    only_rows: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Run only these of the rows, by the names of their folders, and leave the table to other commands: what the jobs
    of --launcher do."""

    accept_changed_source: AcceptChanged = False

    dry_run: Annotated[bool, Switch] = False
    """Only print the plan: rows, parameters, memory, and an estimate of the time."""

    print_config: Annotated[bool, Switch] = False
    """Only print the configuration: every field, and where it is not as in the preset, what it is there."""

    def __post_init__(self) -> None:
        require_at_least(self, seeds=1, processes=1, profile=1)

    @property
    def seed_count(self) -> int:
        """How many seeds each system has."""
        return self.seeds or (3 if self.preset == "quick" else 1)
