"""What a result was made with."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

import jax

_PACKAGES = (
    "madsep-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "tensorflow",
    "museval",
)


def environment() -> dict[str, Any]:
    """Return backend, devices, CPU cores, platform and package versions, for saving beside a result."""
    devices = jax.devices()
    return {
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "cpu_cores": cpu_cores(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def cpu_cores() -> int:
    """Return the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device(found: Mapping[str, Any] | None = None) -> str:
    """Return backend and devices in one line, for a command to print first: what `environment` finds, or has found."""
    found = found or environment()
    return f"{found['backend']}: {found['device_count']} × {found['device']}, {found['cpu_cores']} CPU cores"


def describe_machine(found: Mapping[str, Any] | None = None) -> str:
    """Return device, CPU cores and JAX of an `environment`, or of this process, for the caption of a result."""
    found = found or environment()
    return f"{found['device']}, {found['cpu_cores']} CPU cores, jax {found['versions']['jax']}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
