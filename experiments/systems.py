"""The systems that can be compared, by name."""

import re

from madsep_jax.config import DwsMaskerConfig, GruMaskerConfig, MaskerConfig
from madsep_jax.errors import InputError
from madsep_jax.nearest import did_you_mean

#: What the options accept: `dws` alone stands for the grid of --layers and --channels.
NAMES = ("mad", "dws", "dws-L-C")
_DWS = re.compile(r"dws-(\d+)-(\d+)")


def masker_of(system: str) -> MaskerConfig:
    """Return the full-size masker of a system: `mad`, or `dws-L-C` for L_enc = L blocks of C channels.

    Raises:
        InputError: on an unknown name.
    """
    if system == "mad":
        return GruMaskerConfig()
    if match := _DWS.fullmatch(system):
        return DwsMaskerConfig(layers=int(match[1]), channels=int(match[2]))
    raise InputError(f"system {system!r}: unknown, {did_you_mean(system, NAMES)} (dws-5-64: 5 layers, 64 channels)")


def expand(systems: tuple[str, ...], layers: tuple[int, ...], channels: tuple[int, ...]) -> list[str]:
    """Replace `dws` by every combination of layers and channels; check the other names; drop what is named twice."""
    names: list[str] = []
    for system in systems:
        if system == "dws":
            names += [f"dws-{layer}-{channel}" for layer in layers for channel in channels]
        else:
            masker_of(system)
            names.append(system)
    return list(dict.fromkeys(names))
