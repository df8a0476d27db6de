"""The options that say on what, and how much at a time, a training runs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.option_types import Whole
from madsep_jax.config import ParallelConfig, ProcessesConfig
from madsep_jax.errors import InputError

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
