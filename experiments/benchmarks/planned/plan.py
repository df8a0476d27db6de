"""One program compiled for a device that is not here, and what can be told of it: the work of a process of its own."""

import importlib.metadata
import importlib.util
import time
from dataclasses import asdict
from typing import Any

from experiments.benchmarks.planned.devices import Target, find_target
from madsep_jax.errors import InputError

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


def plan(target: str, config: dict[str, Any]) -> dict[str, Any]:
    """Compile the train step of a configuration for a target, and count it.

    Args:
        target: its name.
        config: of the run, as JSON values, with `compute.target` as the target's kind.

    Returns:
        `reason`, in one line, why it does not compile, else None; `compile_s`, from the function to the executable;
        `memory`, in bytes by what it is for; `count`, a `ProgramCount`; `floor_bytes`; `compiler` with its version.
        What is not known is None.
    """
    import jax

    from experiments.benchmarks.case import Case, planned_memory
    from experiments.benchmarks.planned.count import count_program
    from experiments.benchmarks.planned.floor import floor_bytes
    from madsep_jax.config.io import from_dict
    from madsep_jax.config.run import RunConfig
    from madsep_jax.host.compiler import without_compilation_cache

    found = find_target(target)
    require_compiler(found)
    device = jax.sharding.SingleDeviceSharding(topology_devices(found)[0])
    run = from_dict(RunConfig, config)
    case = Case(system=target, mode="train", config=run)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), case.shapes())
    about = {"floor_bytes": floor_bytes(run, found.device.kept_bytes), "compiler": _compiler(found)}
    start = time.perf_counter()
    try:
        with without_compilation_cache():
            compiled = case.jitted().lower(*shapes).compile()
    except jax.errors.JaxRuntimeError as error:
        return {**about, "reason": _in_one_line(str(error)), "compile_s": None, "memory": None, "count": None}
    seconds = time.perf_counter() - start
    count = asdict(count_program(compiled.as_text()))
    return {**about, "reason": None, "compile_s": seconds, "memory": planned_memory(compiled), "count": count}


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
