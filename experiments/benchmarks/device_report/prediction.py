"""What a compiled program is expected to take on this device, before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.planned.count import count_program
from experiments.benchmarks.planned.devices import TPUS, Device, find_target
from experiments.benchmarks.planned.floor import floor_bytes
from experiments.benchmarks.throughput.ours import Program
from experiments.benchmarks.throughput.peak import Peak
from madsep_jax.host.memory import free_bytes, planned_memory

#: Devices of which a maker's facts are known, by how JAX calls them.
_GPUS = {
    "Tesla T4": "t4",
    "NVIDIA A100-SXM4-80GB": "a100",
    "NVIDIA H100 80GB": "h100",
    "NVIDIA H200": "h200",
    "NVIDIA B200": "b200",
}
_TPUS = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
}

_LAUNCH_S = {"gpu": 2e-6, "tpu": 1e-6}


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of one step of one program. All of it is planned, not measured."""

    launches: int
    bytes: float
    flops: float
    floor_bytes: float | None
    """The least that the definition of a train step moves."""
    memory: Mapping[str, int]
    """See `planned_memory`."""
    seconds: float
    """The roofline: max(bytes / bandwidth, arithmetic / rate) + launches · latency."""


def predict(case: Case, program: Program, device: Device) -> Prediction:
    """Count a compiled program. Raises ValueError where its text cannot be read."""
    count = count_program(program.compiled.as_text())
    compute_s = device.compute_s(case.precision, count.product_flops, count.other_flops)
    return Prediction(
        launches=count.launches,
        bytes=count.bytes,
        flops=count.flops,
        floor_bytes=floor_bytes(case.config, device.kept_bytes) if case.mode == "train" else None,
        memory=planned_memory(program.compiled),
        seconds=device.roofline_s(count.bytes, compute_s, count.launches),
    )


def this_device(peaks: Mapping[str, Peak]) -> Device:
    """Return the facts of this process's device: its maker's where they are known, else what was measured."""
    kind = jax.devices()[0].device_kind
    for start, name in sorted(_GPUS.items(), reverse=True):
        if kind.startswith(start):
            return find_target(f"cuda:{name}").device
    if kind in _TPUS:
        return TPUS[_TPUS[kind]][0]
    bandwidth = max((peak.copy_gb_per_s * 1e9 for peak in peaks.values()), default=float("inf"))
    return Device(
        memory_bytes=memory_limit() or 0,
        bytes_per_s=bandwidth,
        product_flops_per_s={precision: peak.gflop_per_s * 1e9 for precision, peak in peaks.items()},
        launch_s=_LAUNCH_S.get(jax.default_backend(), 0.0),
    )


def memory_limit() -> int | None:
    """Return the bytes that programs of this process can have on its device; None where nothing tells."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return free_bytes()
    return (device.memory_stats() or {}).get("bytes_limit")


def scaled_memory(known: Mapping[str, int], known_case: Case, case: Case) -> float:
    """Return about what a program needs, by that of the same one for another batch or length: its arrays grow so."""
    factor = case.batch * case.frames / (known_case.batch * known_case.frames)
    return known.get("argument", 0) + known.get("temporary", 0) * factor
