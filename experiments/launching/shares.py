"""GPUs and CPU cores of this machine for jobs that run beside each other, where each is to have its own."""

import os
from dataclasses import dataclass

from experiments.launching.options import LaunchOptions
from madsep_jax.errors import InputError

_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """What one job gets."""

    place: int
    variables: dict[str, str | None]
    """Of the environment; None takes one away."""
    cores: list[int]
    """Empty: all."""


class Shares:
    """As many shares as jobs run at a time; for Slurm, which shares out by itself, empty ones."""

    def __init__(self, options: LaunchOptions) -> None:
        """Raises InputError where there are fewer GPUs or cores than the jobs are to have."""
        self._taken: dict[str, int] = {}
        self._shares: list[Share] = []
        if options.launcher != "local":
            return
        jobs, gpus = options.jobs or 1, os.environ.get(_GPUS)
        cores = _parts("--job-cpus", sorted(os.sched_getaffinity(0)), jobs, options.job_cpus or 0)
        if options.job_gpus is None:  # submitit would hide them all
            variables: list[dict[str, str | None]] = [{_GPUS: gpus}] * jobs
        else:
            there = [str(n) for n in range(jobs * options.job_gpus)] if gpus is None else gpus.split(",")
            variables = [{_GPUS: ",".join(part)} for part in _parts("--job-gpus", there, jobs, options.job_gpus)]
        self._shares = [Share(place, variables[place], cores[place]) for place in range(jobs)]

    def free(self) -> Share:
        """Return a share that no job has."""
        taken = self._taken.values()
        return next((share for share in self._shares if share.place not in taken), Share(-1, {}, []))

    def take(self, share: Share, job_id: str) -> None:
        """Note that a job has a share."""
        self._taken[job_id] = share.place

    def give_back(self, job_id: str) -> None:
        """Note that a job has ended."""
        self._taken.pop(job_id, None)


def _parts(name: str, there: list, jobs: int, each: int) -> list[list]:
    if jobs * each > len(there):
        raise InputError(f"{name} {each}: found {len(there)}, expected {each} for each of {jobs} jobs at a time")
    return [there[place * each : (place + 1) * each] for place in range(jobs)]
