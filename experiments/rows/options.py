"""The options of the ablation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from data_pipelines.songs.spectrograms import default_cache
from experiments.cli.console import DeviceOptions
from experiments.cli.options import Many, ManyOrNone, Whole
from experiments.data.songs import EMBEDDED
from experiments.jobs.options import LaunchOptions
from experiments.scoring.protocols import EngineName
from experiments.training.options import SaveOptions
from experiments.training.validation import ValidationOptions
from madsep_jax.config.parallel import ParallelConfig, ProcessesConfig
from madsep_jax.config.run import Precision
from madsep_jax.config.training import ScheduleKind
from madsep_jax.errors import InputError
from madsep_jax.host.environment import cpu_cores

_DEFAULT = ParallelConfig()

_FLAG = Parameter(negative=(), show_default=False)


@Parameter(name="*", group="Devices and processes")
@dataclass(frozen=True, kw_only=True)
class ParallelOptions:
    """Devices, processes, and steps in a call. None of them changes a result by more than rounding."""

    parallel: Literal["jit", "pmap"] = _DEFAULT.style
    """How devices share a batch: jit over a mesh, or pmap."""

    parameters: Literal["replicated", "sharded"] = _DEFAULT.parameters
    """Parameters and the optimiser's state: a copy on each device, or shared out among them (jit only)."""

    devices: Annotated[int | None, Whole] = _DEFAULT.devices
    """Devices that each process uses. Default: all it has."""

    batch_per_device: Annotated[bool, _FLAG] = _DEFAULT.batch == "scaled"
    """The batch size is that of each device, not of all together."""

    steps_per_call: Annotated[int, Whole] = _DEFAULT.steps_per_call
    """Steps that one call of the compiled program does."""

    distributed: Annotated[bool, _FLAG] = False
    """Train together with the other processes that Slurm, Open MPI or a Cloud TPU has started."""

    coordinator: str | None = None
    """HOST:PORT of the first of the processes that train together, where nothing else tells."""

    process_count: Annotated[int | None, Whole] = None
    """Processes in all, with --coordinator."""

    process_id: Annotated[int | None, Whole] = None
    """Number of this process, from 0, with --coordinator."""

    join_timeout: Annotated[int, Whole] = ProcessesConfig.timeout_s
    """Seconds to wait for the other processes."""

    def config(self) -> ParallelConfig:
        """Return them as the library takes them. Raises InputError where they do not fit together."""
        return ParallelConfig(
            style=self.parallel,
            parameters=self.parameters,
            devices=self.devices,
            batch="scaled" if self.batch_per_device else "constant",
            steps_per_call=self.steps_per_call,
        )

    def processes(self) -> ProcessesConfig:
        """Return who trains together. Raises InputError where that is only half said."""
        given = (self.coordinator, self.process_count, self.process_id)
        if any(value is not None for value in given) and None in given:
            raise InputError("--coordinator, --process-count and --process-id: expected all three or none")
        return ProcessesConfig(
            distributed=self.distributed,
            coordinator=self.coordinator,
            count=self.process_count,
            number=self.process_id,
            timeout_s=self.join_timeout,
        )


@Parameter(name="*", group="Learning rate")
@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """The learning rate's schedule (`madsep_jax.config.training`); what is not given is the preset's."""

    schedule: ScheduleKind | None = None
    """Learning rate after the warm-up: constant, as in the papers; cosine, or exponential down to --final-learning-rate
    at the last step; step, times --decay-factor after every --decay-every steps. Default: the preset's, constant."""

    warmup_steps: Annotated[int | None, Whole] = None
    """Steps in which the learning rate rises to its largest. Default: none."""

    final_learning_rate: float | None = None
    """Where a cosine or exponential decay ends, and what steps do not go below. Default: 0."""

    decay_every: Annotated[int | None, Whole] = None
    """Steps from one decay to the next, with --schedule step. Default: 10000."""

    decay_factor: float | None = None
    """Of each decay, with --schedule step. Default: 0.1."""

    def changes(self) -> dict[str, Any]:
        """Return the fields of the configuration that were given, by their dotted names."""
        given = {
            "kind": self.schedule,
            "warmup_steps": self.warmup_steps,
            "final_learning_rate": self.final_learning_rate,
            "step_every": self.decay_every,
            "step_factor": self.decay_factor,
        }
        return {f"training.schedule.{name}": value for name, value in given.items() if value is not None}


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
    """Train on this set, prepared by `python -m experiments.prepare` as spectrograms or as waveforms, in place of
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
