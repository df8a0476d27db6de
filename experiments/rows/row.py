"""One row of the comparison: a system and a seed, and what became of it."""

from dataclasses import dataclass, field
from pathlib import Path

from madsep_jax.config.own import file_name
from madsep_jax.config.run import RunConfig
from madsep_jax.models.contract import config_of

#: The status of a row that has not failed.
DONE = "done"


def is_of_rows(name: str) -> bool:
    """Whether rows of an experiment differ in this field of the configuration, beside what their systems ask for."""
    return name.startswith("masker.") or name == "training.seed"


def _folder_name(system: str, seed: int | None) -> str:
    name = file_name(system)
    return name if seed is None else f"{name}-seed{seed}"


@dataclass(frozen=True)
class PlannedRow:
    """What is to be done. A row differs from the base in its system's fields and its seed, and in nothing else."""

    system: str
    config: RunConfig | None
    """None for the rows that need no training."""

    @classmethod
    def of_system(cls, system: str, seed: int, base: RunConfig) -> "PlannedRow":
        """Return the row of a system, fitted to the base's signal."""
        return cls(system, config_of(system, base, {"training.seed": seed}))

    @property
    def seed(self) -> int | None:
        """Of the training."""
        return self.config.training.seed if self.config else None

    @property
    def folder_name(self) -> str:
        """Where it is kept within the experiment's folder."""
        return _folder_name(self.system, self.seed)

    def folder(self, experiment: Path) -> Path:
        """Return the folder of this row."""
        return experiment / "rows" / self.folder_name

    def lock(self, experiment: Path) -> Path:
        """Return the file that the process locks which runs this row."""
        return self.folder(experiment) / "lock"


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """A finished row. Times are seconds; what does not apply is None."""

    system: str
    seed: int | None
    status: str = DONE
    """`done`, or `failed: ` and why."""
    scores: dict | None = None
    """An `Aggregate` (`experiments.scoring`) as a dictionary: medians in dB by target and metric, counts of windows."""
    masker_parameters: int | None = None
    total_parameters: int | None = None
    gflop_per_audio_second: float | None = None
    train_step_s: float | None = None
    compile_s: float | None = None
    real_time_factor: float | None = None
    steps: int | None = None
    """Of the training: fewer than planned where it was stopped early."""
    stopped_early: bool = False
    train_s: float | None = None
    score_s: float | None = None
    validation: list[dict[str, float]] | None = None
    """Loss and scores during training: the step, the loss and its parts, dB by metric, and the seconds that it took."""
    start_from: dict[str, str] | None = None
    """The weights that the training started from (`--start-from`): their path, which, and a fingerprint."""
    config: dict | None = field(default=None, repr=False)
    environment: dict | None = field(default=None, repr=False)
    """Device and versions that it was run with (`madsep_jax.host.environment`)."""

    @property
    def failed(self) -> bool:
        """Whether there are no scores because something went wrong."""
        return self.status != DONE

    def folder(self, experiment: Path) -> Path:
        """Return the folder of this row: its log, its checkpoint, its scores by song."""
        return experiment / "rows" / _folder_name(self.system, self.seed)

    def median_db(self, metric: str, target: str = "vocals") -> float | None:
        """Return the aggregate of one metric, None where there is none."""
        return self.scores["targets"][target]["median_db"][metric] if self.scores else None
