"""The options of the ablation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from data_pipelines.features import default_cache
from experiments.device_line import DeviceOptions
from experiments.launching.options import LaunchOptions
from experiments.option_types import Many, ManyOrNone, Whole
from experiments.parallel_options import ParallelOptions
from experiments.save_options import SaveOptions
from experiments.schedule_options import ScheduleOptions
from experiments.scoring.protocols import EngineName
from experiments.songs import EMBEDDED
from experiments.validation_options import ValidationOptions
from madsep_jax.environment import cpu_cores
from madsep_jax.precision import Precision


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What to compare, on what, and where to keep it."""

    systems: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Systems to compare: mad, dws-L-C (L layers, C channels; -res, -dilated and -k3 may follow), or dws for every
    combination of --layers and --channels; mad-ris-s, mad-ris-l (recurrent inference), mad-twinnet, mad-dilated,
    dilated-gru, dae, dae-deep, skip-filtering; ALL for one of each. Default: a few that suit the preset."""

    layers: Annotated[tuple[int, ...], Many] = (5, 7, 9, 11, 13, 15)
    """L_enc of the dws grid. Default: the paper's."""

    channels: Annotated[tuple[int, ...], Many] = (64, 128, 256)
    """C of the dws grid. Default: the paper's."""

    seeds: Annotated[int, Whole] = 1
    """Number of seeds for each system: 0, 1, …"""

    vectorize_seeds: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Train the seeds of a system together, in one compiled program."""

    data: str = EMBEDDED
    """Songs: 'embedded' (made from a seed, nothing to download), or a folder in the layout of DSD100 or MUSDB18-HQ."""

    prepared: Path | None = None
    """Train on this set, prepared by `python -m data_pipelines.prepare` as spectrograms or as waveforms, in place of
    the training songs of --data."""

    preset: str = "quick"
    """Recipe: quick (a quarter of the signal size, minutes), paper (full size, as published),
    or released_code (as paper, but for what the published programs do otherwise)."""

    epochs: Annotated[int | None, Whole] = None
    """Train for so many epochs. Default: the preset's."""

    steps: Annotated[int | None, Whole] = None
    """Train for so many steps instead."""

    batch: Annotated[int | None, Whole] = None
    """Sequences in a batch. Default: the preset's."""

    accumulate: Annotated[int | None, Whole] = None
    """Parts of a batch that are taken one after the other, their gradients averaged. Default: the preset's."""

    precision: Precision | None = None
    """Arithmetic of the training: float32, tf32 (not on a CPU) or bfloat16; parameters, optimiser, statistics and loss
    are float32 in any case. Default: the preset's, float32."""

    remat: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Keep no more of each block than its input for the gradient: less memory, more time."""

    set: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other fields of the configuration, as NAME=VALUE: training.learning_rate=0.0003 sequences.frames=120"""

    out: Annotated[Path | None, Parameter(alias="-o")] = None
    """Folder of the results; the same command in the same folder continues. Default: runs/PRESET-DATA."""

    cache: Path = field(default_factory=default_cache)
    """Folder of computed spectrograms, shared by all experiments."""

    processes: Annotated[int, Whole] = field(default_factory=cpu_cores)
    """Songs that are scored at a time."""

    engine: EngineName = "jax"
    """What scores: jax (madsep_jax.bss_eval), or museval, which gives the same scores and takes many times as long."""

    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    """Learning rate."""

    validation: ValidationOptions = field(default_factory=ValidationOptions)
    """Validation and early stopping."""

    profile: Annotated[int | None, Whole] = None
    """Write a trace of so many training steps of each row into its folder, for a profile viewer. Default: none."""

    device: DeviceOptions = field(default_factory=DeviceOptions)
    """What the device must be."""

    sharing: ParallelOptions = field(default_factory=ParallelOptions)
    """Devices and processes."""

    saving: SaveOptions = field(default_factory=SaveOptions)
    """When to save, and what to keep."""

    launch: LaunchOptions = field(default_factory=LaunchOptions)
    """Rows as jobs."""

    only_rows: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Run only these of the rows, by the names of their folders, and leave the table to other commands: what the jobs
    of --launcher do."""

    dry_run: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Only print the plan: rows, parameters, and an estimate of the time."""
