"""Which form of an operation runs: the plain one that defines it, or one that is written for speed, or for memory."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from madsep_jax.config.run import ComputeConfig, Operations

Operation = Literal["gru_scan", "dws_block", "optimizer"]

#: Operations that run in their fast form, by backend, because they beat the plain one there: train steps of MaD, MaD
#: TwinNet and DWS at full size and batch 4. (The dilated GRU takes the GRU's form without a measurement of its own.)
#: `python -m experiments.throughput --forms plain fast` measures both. A backend that is not listed has not been
#: measured: the plain forms run there.
FASTER: dict[str, frozenset[Operation]] = {
    "cpu": frozenset({"gru_scan", "dws_block", "optimizer"}),
}


def runs_fast(operation: Operation, operations: Operations) -> bool:
    """Whether the fast form of an operation is to run on the present backend, for `ComputeConfig.operations`."""
    if operations == "auto":
        return operation in FASTER.get(jax.default_backend(), frozenset())
    return operations == "fast"


def recomputed(function: Any, compute: ComputeConfig, by: Callable[..., Any] = jax.checkpoint, **options: Any) -> Any:
    """Return a function that for its gradient keeps its arguments alone, where `ComputeConfig.remat` asks for it.

    The transformation `by`, which takes the options, does it.
    """
    return by(function, **options) if compute.remat else function
