"""What a result was made with."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madsep_jax.errors import InputError, first_line

if TYPE_CHECKING:
    import jax

_PACKAGES = ("madsep-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow", "museval")


def environment() -> dict[str, Any]:
    """Return backend, devices, processor, platform, options and flags, and versions, to save beside a result."""
    import jax

    from madsep_jax.host.compiler import compiler_options

    devices = find_devices()
    return {
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "cpu_cores": cpu_cores(),
        "processor": processor(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "compiler_options": compiler_options(jax.default_backend()),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "openblas": {name: value for name, value in sorted(os.environ.items()) if name.startswith("OPENBLAS_")},
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def find_devices() -> "list[jax.Device]":
    """Return JAX's devices, for which it starts. Raises InputError where it has been told to use what it cannot."""
    import jax

    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter of an accelerator that has a plugin and is not there
        asked = jax.config.jax_platforms  # type: ignore[attr-defined]
        if not asked:
            raise
        reason = f" ({first_line(error)})" if str(error) else ""
        raise InputError(f"JAX_PLATFORMS={asked}: found no such device{reason}, expected another one or none") from None


def cpu_cores() -> int:
    """Return the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name; with family and model where Linux tells, since names are often short."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    numbers = [f"{label} {found[key]}" for label, key in (("family", "cpu family"), ("model", "model")) if key in found]
    name = found.get("model name") or platform.processor() or platform.machine()
    return ", ".join([" ".join(name.split()), *numbers])


def describe_device(found: Mapping[str, Any] | None = None) -> str:
    """Return backend and devices in one line, for a command to print first: what `environment` finds, or has found."""
    found = found or environment()
    return f"{found['backend']}: {found['device_count']} × {found['device']}, {found['cpu_cores']} CPU cores"


def describe_machine(found: Mapping[str, Any] | None = None) -> str:
    """Return device, CPU cores, JAX and flags of an `environment`, or of this process, for a result's caption."""
    found = found or environment()
    name = f" ({found['processor']})" if found["device"] == "cpu" and "processor" in found else ""
    flags = {"XLA_FLAGS": found.get("xla_flags"), **found.get("openblas", {})}
    told = "".join(f", {flag}={value}" for flag, value in flags.items() if value)
    return f"{found['device']}{name}, {found['cpu_cores']} CPU cores, jax {found['versions']['jax']}{told}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
