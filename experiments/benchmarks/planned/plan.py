"""A train step compiled for devices that are not here, one or several that share it, and what can be told of it.

All of it is the work of a process of its own. How long exchanges take is by bytes alone, as if each were a ring over
all links of a device and nothing went on beside it. With n devices that each give b bytes, one of them sends

- all-reduce: 2 (n - 1) / n · b (reduced piece by piece around the ring, then handed around);
- all-gather: (n - 1) · b;
- reduce-scatter: (n - 1) / n · b.

The efficiency, t / (t + exchanges) where t is the time of all else, is therefore less than what devices reach that
exchange gradients while they still compute others, and more where exchanges are small: to each of them belongs a
latency that no maker states, which `exchanges` tells the number of.
"""

import dataclasses
import importlib.metadata
import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax

from experiments.benchmarks.case import Case
from experiments.benchmarks.planned.count import Collective, count_program
from experiments.benchmarks.planned.devices import Target, find_target
from experiments.benchmarks.planned.floor import floor_bytes
from madsep_jax.config.io import from_dict
from madsep_jax.config.parallel import ParallelConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError
from madsep_jax.host.compiler import without_compilation_cache
from madsep_jax.host.memory import planned_memory
from madsep_jax.models.contract import load_system
from madsep_jax.parallel.layout import compile_step, make_layout

#: What the memory of a device must hold, in the words of its compiler.
_TOO_LARGE = ("RESOURCE_EXHAUSTED", "Ran out of memory", "out of memory")


def require_compiler(target: Target) -> None:
    """Raise InputError where what compiles for a target is not installed."""
    if target.platform == "tpu" and importlib.util.find_spec("libtpu") is None:
        remedy = 'pip install "madsep-jax[tpu]", or libtpu of the version that fits jax'
        raise InputError(f"--target {target.name}: needs libtpu, which is not installed: {remedy}")
    if target.platform == "cuda" and not any(map(_has_plugin, ("12", "13"))):
        remedy = 'pip install "madsep-jax[cuda]", or, without any library of NVIDIA, '
        remedy += "pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt of jax's version"
        raise InputError(f"--target {target.name}: needs jax's plugin for CUDA, which is not installed: {remedy}")


def _has_plugin(cuda: str) -> bool:
    try:
        return importlib.util.find_spec(f"jax_plugins.xla_cuda{cuda}") is not None
    except ModuleNotFoundError:
        return False


def topology_devices(target: Target) -> Any:
    """Return the devices of a target, which programs can be compiled for and not run on.

    The environment has had `Target.variables` since before JAX was imported.

    Raises:
        InputError: where the compiler does not know the topology, or cannot read the description.
    """
    from jax.experimental import topologies

    options = {"topology_name": target.topology} if target.platform == "tpu" else {}
    if target.platform == "cuda":
        options = {"target_config": target.description, "topology": target.topology}
    try:
        return topologies.get_topology_desc(platform=target.platform, **options).devices
    except Exception as error:  # of XLA, of several kinds
        reason = " ".join(str(error).split())
        raise InputError(f"--target {target.name}: found a topology that its compiler refuses: {reason}") from None


def plan(target: str, config: Mapping[str, Any], devices: int = 1, system: str = "") -> dict[str, Any]:
    """Compile the train step of a configuration for a target, and count it.

    Args:
        target: its name.
        config: of the run, as JSON values, with the `Target.settings`; its batch is that of all devices together.
        devices: that share the step, by jit over a mesh.
        system: its name, where it is one of somebody's own.

    Returns:
        `reason`, in one line, why it does not compile, else None; `compile_s`, from the function to the executable;
        `memory` of a device, in bytes by what it is for; `count`, a `ProgramCount` of what a device does; `exchange`,
        an `Exchange`; `floor_bytes`, of one device that does all of it; `compiler` with its version. What is not known
        is None.

    Raises:
        InputError: where the target has not so many devices, or they cannot share the batch.
    """
    found = find_target(target)
    require_compiler(found)
    load_system(system)
    about: dict[str, Any] = {
        "floor_bytes": floor_bytes(from_dict(RunConfig, dict(config)), found.device.kept_bytes),
        "compiler": _compiler(found),
    }
    try:
        planned = count_step(target, config, devices)
    except jax.errors.JaxRuntimeError as error:
        nothing = dict.fromkeys(("compile_s", "memory", "count", "exchange"))
        return {**about, **nothing, "reason": _in_one_line(str(error))}
    return {**about, **planned, "reason": None}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What each of n devices exchanges with the others in one step."""

    exchanges: int
    """Loops times their turns."""
    in_loops: int
    """Of these, those within loops."""
    given_bytes: int
    largest_bytes: int
    """That a device gives in one exchange: the gradient's."""
    sent_bytes: float

    @classmethod
    def of(cls, collectives: Sequence[Collective], devices: int) -> "Exchange":
        """Add up those of a program."""
        return cls(
            exchanges=sum(one.runs for one in collectives),
            in_loops=sum(one.runs for one in collectives if one.in_loop),
            given_bytes=sum(one.bytes * one.runs for one in collectives),
            largest_bytes=max((one.bytes for one in collectives), default=0),
            sent_bytes=sum(sent_bytes(one.kind, one.bytes, devices) * one.runs for one in collectives),
        )

    def efficiency(self, other_s: float, link_bytes_per_s: float, exchange_s: float = 0.0) -> float:
        """Return the share of a step's time in which it does all else, which takes so long.

        `exchange_s` is what an exchange takes beside its bytes.
        """
        return other_s / (other_s + self.sent_bytes / link_bytes_per_s + self.exchanges * exchange_s)


def sent_bytes(kind: str, given: int, devices: int) -> float:
    """Return what one device sends in an exchange around a ring."""
    others = devices - 1
    shares = {"all-reduce": 2 * others / devices, "all-gather": others, "reduce-scatter": others / devices}
    return given * shares.get(kind, 1)


def count_step(
    target: str, config: Mapping[str, Any], devices: int, style: Literal["jit", "pmap"] = "jit"
) -> dict[str, Any]:
    """Compile the train step that so many devices share, and count it; see `plan`.

    Args:
        target: its name; `cpu` is that of this process's own devices.
        config: of the run, as JSON values; its batch is that of all devices together.
        devices: that share it.
        style: of `ParallelConfig`.

    Returns:
        `compile_s`, `memory`, `count` and `exchange`.
    """
    run = from_dict(RunConfig, dict(config))
    layout = make_layout(run, ParallelConfig(style=style), devices=_devices(target, devices))
    shapes = layout.shapes(*Case(system=target, mode="train", config=run).shapes())
    start = time.perf_counter()
    with without_compilation_cache():
        compiled = compile_step(layout, *shapes)
    seconds = time.perf_counter() - start
    count = count_program(compiled.as_text())
    exchange = Exchange.of(count.collectives, devices)
    return {
        "compile_s": seconds,
        "memory": planned_memory(compiled),
        "count": dataclasses.asdict(count),
        "exchange": dataclasses.asdict(exchange),
    }


def _devices(target: str, count: int) -> list[jax.Device]:
    if target == "cpu":
        return jax.devices("cpu")[:count]
    found = topology_devices(with_devices(find_target(target), count))
    if count > len(found):
        raise InputError(f"--devices: found {count}, expected at most the {len(found)} of {target}")
    return list(found[:count])


def with_devices(target: Target, count: int) -> Target:
    """Return a target of so many GPUs in one machine; that of a TPU has as many chips as its topology says."""
    return dataclasses.replace(target, topology=f"1x1x{count}") if target.platform == "cuda" else target


def _compiler(target: Target) -> str:
    """Return what has compiled, with its version."""
    names = ["libtpu"] if target.platform == "tpu" else ["jax-cuda13-plugin", "jax-cuda12-plugin"]
    for name in names:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return names[0]


def _in_one_line(error: str) -> str:
    """Return the first sentence of what a compiler says."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = next((line for line in lines if any(words in line for words in _TOO_LARGE)), lines[0] if lines else "")
    return told[:200]
