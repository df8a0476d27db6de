"""From options to what is to be done, and how long that will take, roughly."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from data_pipelines.batches.order import TrainingOrder
from experiments.cli.options import parse_assignment
from experiments.data.prepared import PreparedTraining
from experiments.data.songs import Songs, load_songs
from experiments.jobs.executor import import_submitit
from experiments.rows.options import AblationOptions
from experiments.rows.row import PlannedRow, is_of_rows
from experiments.scoring.estimators import REFERENCES
from experiments.training.given_weights import GivenWeights
from experiments.training.loop import How
from madsep_jax.config.io import override, to_flat
from madsep_jax.config.presets import preset_config
from madsep_jax.config.run import RunConfig
from madsep_jax.config.systems import expand
from madsep_jax.errors import InputError, did_you_mean
from madsep_jax.models.contract import load_system
from madsep_jax.ops.precision import computing_in, double_precision_device
from madsep_jax.parallel.devices import sharing_devices, with_scaled_batch
from madsep_jax.signal.stft import frame_count
from madsep_jax.train.optimizer import learning_rate, with_schedule_steps

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
    rows: list[PlannedRow]
    songs: Songs
    out: Path
    how: How = field(default_factory=How)
    """The rows are trained."""
    baseline: str | None = None
    """The system that the others are compared with."""

    def steps_of(self, config: RunConfig) -> int:
        """Return the training steps of a row, or of the base."""
        if self.songs.prepared:
            return self.songs.prepared.order(config).total_steps
        rate = config.signal.sample_rate
        frames = [frame_count(round(track.duration_s * rate), config.signal) for track in self.songs.train]
        return TrainingOrder.of_songs(frames, config.sequences, config.training, config.data).total_steps


def make_plan(options: AblationOptions, console: Console | None = None) -> Plan:
    """Check the options and the songs, and resolve them. Raises InputError where one cannot be used."""
    if options.launch.launcher:
        _require_whole_jobs(options)
    prepared = _prepared(options)
    base = base_config(options, prepared)
    rows = make_rows(options, base)
    songs = load_songs(
        options.data,
        base.signal.sample_rate,
        prepared,
        options.validation.songs,
        validation_split=options.validation.validation_split,
        skip_bad=options.skip_bad,
        read=not options.dry_run,
        console=console,
    )
    out = options.out or Path("runs") / f"{options.preset}-{Path(options.data).resolve().name}"
    validation = options.validation.validation(songs.validation, base.signal, options.cache)
    given = GivenWeights.read(options.start_from) if options.start_from else None
    for row in rows:
        if given and row.config:
            given.check(row.config, row.folder_name)
    how = How(
        options.sharing.config(),
        options.saving.config(),
        validation,
        given,
        options.profile,
        ignores_memory=options.ignore_memory,
    )
    plan = Plan(base, rows, songs, out, how, options.baseline)
    for config in (base, *(row.config for row in rows if row.config)):
        plan.steps_of(config)  # raises where there are too few songs
        if not options.launch.launcher:  # else the devices are those of the jobs
            sharing_devices(config, how.parallel)  # or too many devices
    if not options.launch.launcher:
        computing_in(base.compute)  # or no such arithmetic
        double_precision_device()  # or nothing that can score
    return replace(plan, rows=[_with_schedule(row, plan) for row in rows])


def _with_schedule(row: PlannedRow, plan: Plan) -> PlannedRow:
    """Write the length of a row's training into its schedule. Raises InputError where the warm-up is longer."""
    if row.config is None:
        return row
    steps = plan.steps_of(row.config)
    config = with_schedule_steps(row.config, steps)
    learning_rate(config.training)
    if (warmup := config.training.schedule.warmup_steps) >= steps:
        raise InputError(f"ScheduleConfig.warmup_steps: found {warmup}, expected less than the training's {steps}")
    return replace(row, config=config)


def base_config(options: AblationOptions, prepared: PreparedTraining | None) -> RunConfig:
    """Return the configuration that all rows start from. Raises InputError where an option cannot be used."""
    base = preset_config(options.preset)
    changes: dict[str, Any] = {"data.features": prepared.index.settings.features} if prepared else {}
    given = options.run.given()
    if "training.epochs" in given:
        if "training.steps" in given:
            raise InputError("--epochs and --steps: found both, expected one of them")
        changes["training.steps"] = None
    changes |= given
    others = set()
    for assignment in options.set:
        name, value = parse_assignment(assignment)
        if name.startswith("masker") or name in ("training.seed", "preset", "data.features"):
            raise InputError(f"--set {assignment}: is decided by --systems, --seeds, --preset and --prepared")
        changes[name] = value
        others.add(name)
    config = options.validation.with_metric(override(base, changes), given, others)
    return with_scaled_batch(config, options.sharing.config())


def make_rows(options: AblationOptions, base: RunConfig) -> list[PlannedRow]:
    """Return the rows, references first. Raises InputError where there is no such system, or no such row."""
    systems = expand(options.systems or DEFAULT_SYSTEMS[options.preset], options.layers, options.channels, base.preset)
    if options.baseline is not None and options.baseline not in systems:
        raise InputError(f"--baseline {options.baseline}: found none of the rows, expected one of {', '.join(systems)}")
    rows = [PlannedRow(name, None) for name in REFERENCES]
    for system in systems:
        load_system(system, options.accept_changed_source)
    rows += [PlannedRow.of_system(system, seed, base) for system in systems for seed in range(options.seed_count)]
    known: dict[str, PlannedRow] = {}
    for row in rows:
        if (other := known.setdefault(row.folder_name, row)) is not row:
            raise InputError(f"--systems: found {other.system} and {row.system}, expected names of folders that differ")
    for name in options.only_rows:
        if name not in known:
            raise InputError(f"--only-rows {name}: no such row, {did_you_mean(name, known)}")
    return [row for row in rows if row.folder_name in (options.only_rows or known)]


def _prepared(options: AblationOptions) -> PreparedTraining | None:
    return PreparedTraining.find(options.prepared) if options.prepared else None


def _require_whole_jobs(options: AblationOptions) -> None:
    import_submitit()
    for name in ("distributed", "coordinator"):
        if name in options.joining.given():
            raise InputError(f"--{name} and --launcher: found both, expected one; a job is one process")
    if "batch" in options.sharing.given():
        raise InputError("--batch-per-device and --launcher: found both, expected --batch of all devices of a job")


def resolved(options: AblationOptions) -> str:
    """Return every field of the configuration by its dotted name, and behind a changed one what the preset has.

    First what all rows have in common, then what each of them sets: its masker, its seed, and what its system asks for.
    Nothing is read but what a prepared set says of itself. Raises InputError where an option cannot be used.
    """
    base = base_config(options, _prepared(options))
    common = {name: value for name, value in to_flat(base).items() if not is_of_rows(name)}
    blocks = [_lines(common, to_flat(preset_config(options.preset)), "preset")]
    parts = {
        "validation": options.validation,
        "parallel": options.sharing.config(),
        "processes": options.joining.config(),
        "saving": options.saving.config(),
    }
    for title, config in parts.items():
        blocks.append([f"[{title}]", *_lines(to_flat(config), to_flat(type(config)()), "default")])
    for row in make_rows(options, base):
        found = to_flat(row.config) if row.config else {}
        own = {name: value for name, value in found.items() if is_of_rows(name) or value != common[name]}
        blocks += [[f"[{row.folder_name}]", *_lines(own, own, "")]] if own else []
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _lines(values: dict[str, Any], before: dict[str, Any], whose: str) -> list[str]:
    changed = {name: f"  # {whose}: {json.dumps(before[name])}" for name in values if values[name] != before[name]}
    return [f"{name} = {json.dumps(value)}{changed.get(name, '')}" for name, value in values.items()]
