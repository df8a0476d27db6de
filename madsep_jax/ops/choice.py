"""Which form of an operation runs: the plain one that defines it, or one that is written for speed, or for memory."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from madsep_jax.config.run import ComputeConfig

Operation = Literal["gru_scan", "dws_block", "optimizer"]

#: Operations that run in their fast form, by target, because they beat the plain one there: train steps of MaD, MaD
#: TwinNet and DWS at full size and batch 4. (The dilated GRU takes the GRU's form without a measurement of its own.)
#: `python -m experiments.throughput --forms plain fast` measures both. A target that is not listed has not been
#: measured: the plain forms run there.
FASTER: dict[str, frozenset[Operation]] = {
    "cpu": frozenset({"gru_scan", "dws_block", "optimizer"}),
    "gpu": frozenset({"dws_block"}),  # not measured: by the compiled train steps for an H200, which move less
}


def target_of(compute: ComputeConfig) -> str:
    """Return the kind of device that programs are for: `cpu`, `gpu`, `tpu`, or what else this process has."""
    return jax.default_backend() if compute.target == "auto" else compute.target


def runs_fast(operation: Operation, compute: ComputeConfig) -> bool:
    """Whether the fast form of an operation is to run."""
    if compute.operations == "auto":
        return operation in FASTER.get(target_of(compute), frozenset())
    return compute.operations == "fast"


def recomputed(function: Any, compute: ComputeConfig, by: Callable[..., Any] = jax.checkpoint, **options: Any) -> Any:
    """Return a function that for its gradient keeps its arguments alone, where `ComputeConfig.remat` asks for it.

    The transformation `by`, which takes the options, does it.
    """
    return by(function, **options) if compute.remat else function
