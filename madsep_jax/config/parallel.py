"""How a training is shared out among devices and processes. Nothing here changes a result by more than rounding."""

from dataclasses import dataclass
from typing import Literal

from madsep_jax.errors import InputError, require


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Data parallelism: each device takes an equal part of every batch."""

    style: Literal["jit", "pmap"] = "jit"
    """`jit`: one program over a mesh of devices, arrays placed by `NamedSharding`. `pmap`: one program a device."""
    parameters: Literal["replicated", "sharded"] = "replicated"
    """`replicated`: each device holds all parameters and the whole state of the optimiser. `sharded`: each holds a part
    of them, and they are gathered for the step; less memory, more communication (`jit` only)."""
    devices: int | None = None
    """Devices that each process uses; None for all it has."""
    batch: Literal["constant", "scaled"] = "constant"
    """`constant`: the batch size is that of all devices together. `scaled`: it is that of each device."""
    steps_per_call: int = 1
    """K, the steps that one call of the compiled program does; the result is that of K calls."""

    def __post_init__(self) -> None:
        require(self.style in ("jit", "pmap"), self, "style", "'jit' or 'pmap'")
        require(self.parameters in ("replicated", "sharded"), self, "parameters", "'replicated' or 'sharded'")
        require(self.devices is None or self.devices > 0, self, "devices", "a positive number")
        require(self.batch in ("constant", "scaled"), self, "batch", "'constant' or 'scaled'")
        require(self.steps_per_call > 0, self, "steps_per_call", "a positive number of steps")
        if self.style == "pmap":
            require(self.parameters == "replicated", self, "parameters", "'replicated', all that pmap has")


@dataclass(frozen=True, kw_only=True)
class ProcessesConfig:
    """The processes that train one model together, each with its own devices (`jax.distributed`)."""

    distributed: bool = False
    """Train together with other processes. Those that Slurm, Open MPI or a Cloud TPU has started find each other; for
    others the next three say who they are."""
    coordinator: str | None = None
    """HOST:PORT of the first process."""
    count: int | None = None
    """Processes in all."""
    number: int | None = None
    """Number of this process, from 0."""
    timeout_s: int = 300
    """How long to wait for the other processes."""

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
        require(self.timeout_s > 0, self, "timeout_s", "a positive number of seconds")
