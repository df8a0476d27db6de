"""Which form of an operation runs: the plain one that defines it, or one that is written for speed, or for memory."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from madsep_jax.config.run import ComputeConfig

Operation = Literal["gru_scan", "mingru_scan", "dws_block", "optimizer"]

#: Operations that run in their fast form, by target, because they beat the plain one there: train steps of MaD, MaD
#: TwinNet and DWS at full size and batch 4. (The dilated GRU takes the GRU's form without a measurement of its own.)
#: `python -m experiments.throughput --forms plain fast` measures both. A target that is not listed has not been
#: measured: the plain forms run there.
#: A minimal GRU's form that is parallel in time takes longer than the sequential one at every length on a CPU.
#: gpu, tpu: not measured; chosen by what the compiled train steps count: bytes, kernels, and the time to compile them.
FASTER: dict[str, frozenset[Operation]] = {
    "cpu": frozenset({"gru_scan", "dws_block", "optimizer"}),
    "gpu": frozenset({"gru_scan", "mingru_scan", "dws_block", "optimizer"}),
    "tpu": frozenset({"gru_scan", "mingru_scan", "dws_block"}),
}


def target_of(compute: ComputeConfig) -> str:
    """Return the kind of device that programs are for: `cpu`, `gpu`, `tpu`, or what else this process has."""
    return jax.default_backend() if compute.target == "auto" else compute.target


def kind_of(device: jax.Device) -> str:
    """Return the kind of a device: `cpu`, `gpu`, whoever made it, `tpu`, or what else it is."""
    return "gpu" if device.platform in ("cuda", "rocm") else device.platform


def runs_fast(operation: Operation, compute: ComputeConfig) -> bool:
    """Whether the fast form of an operation is to run."""
    if compute.operations == "auto":
        return operation in FASTER.get(target_of(compute), frozenset())
    return compute.operations == "fast"


def takes_triton(compute: ComputeConfig) -> bool:
    """Whether a form for GPUs may use Triton kernels: on NVIDIA's of compute capability 8.0 (Ampere) or newer.

    A GPU that is not here, for which a program is compiled, is taken to be one.
    """
    if compute.kernels != "auto":
        return compute.kernels == "triton"
    if jax.default_backend() != "gpu":
        return True
    capability = getattr(jax.local_devices()[0], "compute_capability", "")
    return capability.replace(".", "").isdigit() and float(capability) >= 8


def recomputed(function: Any, compute: ComputeConfig, by: Callable[..., Any] = jax.checkpoint, **options: Any) -> Any:
    """Return a function that for its gradient keeps its arguments alone, where `ComputeConfig.remat` asks for it.

    The transformation `by`, which takes the options, does it.
    """
    return by(function, **options) if compute.remat else function
