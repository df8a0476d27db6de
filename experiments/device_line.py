"""What every command that computes says first: on which device. The one place that says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from experiments.progress import say
from madsep_jax.environment import describe_device, environment
from madsep_jax.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """What the device must be."""

    require_accelerator: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """End with exit code 2, before anything is done, where JAX finds no GPU or TPU."""


#: For commands that nothing is asked of.
ANY_DEVICE = DeviceOptions()


def show_device(console: Console, options: DeviceOptions, found: Mapping[str, Any] | None = None) -> None:
    """Print backend, kind and number of devices in one line.

    To be called once the options are known to be right and, where processes train together, once they have joined:
    it starts the backend.

    Args:
        console: of the command.
        options: what is asked of the device.
        found: what `madsep_jax.environment.environment` returned, where other processes than this one compute.

    Raises:
        InputError: where an accelerator is asked for and there is none.
    """
    found = found or environment()
    say(console, describe_device(found))
    if options.require_accelerator and found["backend"] == "cpu":
        raise InputError("--require-accelerator: found the CPU alone, expected a GPU or TPU, and a JAX that can use it")
