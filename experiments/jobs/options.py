"""The options that make each row a job of its own."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from experiments.cli.options import ManyOrNone, Switch, Whole
from madsep_jax.errors import InputError

#: What the launcher needs to find a job's log.
_OURS = ("error", "output", "array", "open-mode")


@Parameter(name="*", group="Rows as jobs")
@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Where jobs run, and what each of them gets."""

    launcher: Literal["local", "slurm"] | None = None
    """Run each row as a job of its own (with --vectorize-seeds the seeds of a system): local, as processes of this
    machine, or slurm. Default: all rows in this process, one after the other."""

    jobs: Annotated[int | None, Whole] = None
    """Jobs at a time. Default: 1 with --launcher local, all at once with slurm."""

    no_wait: Annotated[bool, Switch] = False
    """End once the jobs are submitted (slurm only); the same command shows later what they have finished."""

    job_gpus: Annotated[int | None, Whole] = None
    """GPUs of its own for each job. Default: local jobs share all there are; Slurm's own."""

    job_cpus: Annotated[int | None, Whole] = None
    """CPU cores of its own for each job. Default: local jobs share all there are; Slurm's own."""

    job_memory: Annotated[int | None, Whole] = None
    """GB of memory for each job (slurm only). Default: Slurm's own."""

    job_minutes: Annotated[int, Whole] = 24 * 60
    """Time limit of a job (slurm only). A row that is not finished by then is saved, and its job queued again."""

    partition: str | None = None
    """Partition of the jobs (slurm only)."""

    account: str | None = None
    """Account of the jobs (slurm only)."""

    slurm: Annotated[tuple[str, ...], ManyOrNone] = ()
    """Other options of sbatch, as NAME=VALUE or NAME: qos=long constraint=a100 exclusive"""

    def __post_init__(self) -> None:
        for name in ("jobs", "job_gpus", "job_cpus", "job_memory", "job_minutes"):
            found = getattr(self, name)
            if found is not None and found < 1:
                raise InputError(f"--{name.replace('_', '-')}: found {found}, expected at least 1")
        for_slurm = ("no_wait", "job_memory", "partition", "account", "slurm")
        given = [name for name in for_slurm if getattr(self, name)] if self.launcher != "slurm" else []
        if self.launcher is None:
            given += [name for name in ("jobs", "job_gpus", "job_cpus") if getattr(self, name)]
        if given:
            where = "local or slurm" if self.launcher is None and given[0] not in for_slurm else "slurm"
            raise InputError(f"--{given[0].replace('_', '-')}: expected together with --launcher {where}")
        self.sbatch_options()

    def sbatch_options(self) -> dict[str, Any]:
        """Return the options of --slurm: name to value, True for one without a value."""
        found: dict[str, Any] = {}
        for text in self.slurm:
            name, equals, value = text.lstrip("-").partition("=")
            if not name or name in _OURS:
                raise InputError(f"--slurm {text}: expected NAME=VALUE, not one of {', '.join(_OURS)}")
            found[name] = value if equals else True
        return found
