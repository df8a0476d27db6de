"""From options to what is to be done."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from data_pipelines.order import TrainingOrder
from experiments import estimate
from experiments.assignment import parse_assignment
from experiments.launching.executor import import_submitit
from experiments.options import AblationOptions
from experiments.prepared_songs import PreparedTraining
from experiments.rows import REFERENCES, Row
from experiments.schedule_options import with_schedules
from experiments.scoring.protocols import EngineName
from experiments.songs import Songs, load_songs
from experiments.systems import expand
from experiments.watching import Watching
from madsep_jax.config import RunConfig
from madsep_jax.config_io import override
from madsep_jax.cost import forward_gflop_per_second
from madsep_jax.errors import InputError
from madsep_jax.models.shapes import parameter_counts
from madsep_jax.nearest import did_you_mean
from madsep_jax.parallel.devices import sharing_devices, with_scaled_batch
from madsep_jax.precision import computing_in
from madsep_jax.presets import preset_config
from madsep_jax.stft import frame_count

#: What is compared where no systems are named.
DEFAULT_SYSTEMS = {
    "quick": ("mad", "dws-3-16", "dws-5-32"),
    "paper": ("mad", "dws-5-64", "dws-7-256"),
    "released_code": ("mad", "dws-5-64", "dws-7-256"),
}


@dataclass(frozen=True)
class Plan:
    """What an experiment consists of."""

    base: RunConfig
    rows: list[Row]
    songs: Songs
    out: Path
    watching: Watching = field(default_factory=Watching)

    def steps_of(self, config: RunConfig) -> int:
        """Return the training steps of a row, or of the base."""
        if self.songs.prepared:
            return self.songs.prepared.order(config).total_steps
        frames = [_frames(track.duration_s, config) for track in self.songs.train]
        return TrainingOrder.of_songs(frames, config.sequences, config.training, config.data).total_steps


def make_plan(options: AblationOptions) -> Plan:
    """Check the options and resolve them. Raises InputError where one cannot be used."""
    _require_positive(options)
    if options.launch.launcher:
        _require_whole_jobs(options)
    prepared = PreparedTraining.find(options.prepared) if options.prepared else None
    base = _base(options, prepared)
    songs = load_songs(options.data, base.signal.sample_rate, prepared, options.validation.songs)
    systems = expand(options.systems or DEFAULT_SYSTEMS[options.preset], options.layers, options.channels, base.preset)
    rows = [Row(name, None) for name in REFERENCES]
    rows += [Row.of_system(system, seed, base) for system in systems for seed in range(options.seeds)]
    if options.only_rows:
        rows = _named(rows, options.only_rows)
    out = options.out or Path("runs") / f"{options.preset}-{Path(options.data).name}"
    validation = options.validation.validation(songs.validation, base.signal, options.cache)
    plan = Plan(base, rows, songs, out, Watching(validation, options.profile))
    for config in (base, *(row.config for row in rows if row.config)):
        plan.steps_of(config)  # raises where there are too few songs
        if not options.launch.launcher:  # else the devices are those of the jobs
            sharing_devices(config, options.sharing.config())  # or too many devices
    if not options.launch.launcher:
        computing_in(base.compute.precision)  # or no such arithmetic
    return dataclasses.replace(plan, rows=with_schedules(plan.rows, plan.steps_of))


def plan_table(plan: Plan, processes: int, engine: EngineName) -> Table:
    """Return the plan for the terminal: each row's size, and a rough estimate of its time."""
    speed = estimate.device_gflop_per_s()
    scoring = estimate.scoring_seconds(
        len(plan.songs.test), plan.songs.test_seconds, plan.songs.test[0].sample_rate, processes, engine
    )
    table = Table(header_style="bold", caption=Text(plan.songs.description), caption_justify="left")
    for title in ("row", "masker params", "total params", "GFLOP / s audio", "steps", "about"):
        table.add_column(title, justify="left" if title == "row" else "right")
    total = 0.0
    for row in plan.rows:
        if row.config is None:
            total += scoring
            table.add_row(row.system, "–", "–", "–", "–", _duration(scoring))
            continue
        steps = plan.steps_of(row.config)
        seconds = scoring + estimate.training_seconds(row, steps, speed)
        total += seconds
        counts = parameter_counts(row.config.model)
        masker = f"{counts['masker']:,}" if "masker" in counts else "–"
        gflop = forward_gflop_per_second(row.config)
        cells = (masker, f"{sum(counts.values()):,}", f"{gflop:.2f}", f"{steps:,}")
        table.add_row(row.folder_name, *cells, _duration(seconds))
    table.add_row("all rows", "", "", "", "", _duration(total), style="bold")
    return table


def _base(options: AblationOptions, prepared: PreparedTraining | None) -> RunConfig:
    base = preset_config(options.preset)
    changes: dict[str, Any] = {"data.features": prepared.index.settings.features} if prepared else {}
    if options.epochs is not None and options.steps is not None:
        raise InputError("--epochs and --steps: found both, expected one of them")
    if options.epochs is not None:
        changes |= {"training.epochs": options.epochs, "training.steps": None}
    if options.steps is not None:
        changes["training.steps"] = options.steps
    if options.batch is not None:
        changes["training.batch_size"] = options.batch
    if options.accumulate is not None:
        changes["training.accumulation"] = options.accumulate
    if options.precision is not None:
        changes["compute.precision"] = options.precision
    if options.remat:
        changes["compute.remat"] = True
    changes |= {**options.schedule.changes(), **options.validation.changes()}
    for assignment in options.set:
        name, value = parse_assignment(assignment)
        if name.startswith("masker") or name in ("training.seed", "preset", "data.features"):
            raise InputError(f"--set {assignment}: is decided by --systems, --seeds, --preset and --prepared")
        changes[name] = value
    return with_scaled_batch(override(base, changes), options.sharing.config())


def _require_positive(options: AblationOptions) -> None:
    for name in ("seeds", "processes", "profile"):
        found = getattr(options, name)
        if found is not None and found < 1:
            raise InputError(f"--{name.replace('_', '-')}: found {found}, expected at least 1")


def _require_whole_jobs(options: AblationOptions) -> None:
    import_submitit()
    sharing = options.sharing
    for name, given in (("distributed", sharing.distributed), ("coordinator", sharing.coordinator is not None)):
        if given:
            raise InputError(f"--{name} and --launcher: found both, expected one; a job is one process")
    if sharing.batch_per_device:
        raise InputError("--batch-per-device and --launcher: found both, expected --batch of all devices of a job")


def _named(rows: list[Row], names: tuple[str, ...]) -> list[Row]:
    """Return the rows of these names, in their own order."""
    known = {row.folder_name: row for row in rows}
    for name in names:
        if name not in known:
            raise InputError(f"--only-rows {name}: no such row, {did_you_mean(name, known)}")
    return [row for row in rows if row.folder_name in names]


def _frames(duration_s: float, base: RunConfig) -> int:
    return frame_count(round(duration_s * base.signal.sample_rate), base.signal)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
