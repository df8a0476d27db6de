"""How a training is shared out among devices and processes. Nothing here changes a result by more than rounding."""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.config.fields import Settings, option, positive
from madsep_jax.errors import InputError, require


@dataclass(frozen=True, kw_only=True)
class ParallelConfig(Settings):
    """Data parallelism: each device takes an equal part of every batch.

    `jit` places arrays by `NamedSharding`; `pmap` is one program a device. Parameters that are shared out are gathered
    for the step: less memory, more communication.
    """

    style: Literal["jit", "pmap"] = option(
        "jit", "How devices share a batch: jit over a mesh, or pmap.", flag="--parallel"
    )
    parameters: Literal["replicated", "sharded"] = option(
        "replicated",
        "Parameters and the optimiser's state: a copy on each device, or shared out among them (jit only).",
        flag="--parameters",
    )
    devices: int | None = option(
        None, "Devices that each process uses. Default: all it has.", positive(), flag="--devices"
    )
    batch: Literal["constant", "scaled"] = option(
        "constant",
        "The batch size is that of each device, not of all together.",
        flag="--batch-per-device",
        gives="scaled",
    )
    steps_per_call: int = option(
        1, "Steps that one call of the compiled program does.", positive("number of steps"), flag="--steps-per-call"
    )
    """K; the result is that of K calls."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style == "pmap":
            require(self.parameters == "replicated", self, "parameters", "'replicated', all that pmap has")


@dataclass(frozen=True, kw_only=True)
class ProcessesConfig(Settings):
    """The processes that train one model together, each with its own devices (`jax.distributed`).

    Those that Slurm, Open MPI or a Cloud TPU has started find each other; for others coordinator, count and number say
    who they are.
    """

    distributed: bool = option(
        False,
        "Train together with the other processes that Slurm, Open MPI or a Cloud TPU has started.",
        flag="--distributed",
    )
    coordinator: str | None = option(
        None,
        "HOST:PORT of the first of the processes that train together, where nothing else tells.",
        flag="--coordinator",
    )
    count: int | None = option(None, "Processes in all, with --coordinator.", flag="--process-count")
    number: int | None = option(None, "Number of this process, from 0, with --coordinator.", flag="--process-id")
    timeout_s: int = option(
        300, "Seconds to wait for the other processes.", positive("number of seconds"), flag="--join-timeout"
    )

    def __post_init__(self) -> None:
        given = [name for name in ("coordinator", "count", "number") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise InputError(f"ProcessesConfig: found {given[0]}, expected coordinator, count and number together")
        if given:
            host, _, port = str(self.coordinator).rpartition(":")
            require(bool(host) and port.isdecimal() and int(port) < 2**16, self, "coordinator", "HOST:PORT")
            count, number = int(self.count or 0), int(self.number or 0)
            require(count > 0, self, "count", "a positive number of processes")
            require(0 <= number < count, self, "number", f"0 to {count - 1}")
        super().__post_init__()
