"""The name of the system that a checkpoint holds, from its configuration."""

import itertools
from collections.abc import Iterator

from experiments.systems import DWS_VARIANTS, SYSTEMS, masker_of
from madsep_jax.config import DwsMaskerConfig, RunConfig
from madsep_jax.presets import fit_to_bins


def system_name(config: RunConfig) -> str:
    """Return the name by which the ablation knows a system; for one with other fields, `custom` and its kind."""
    for name in _candidates(config):
        if fit_to_bins(masker_of(name), config.signal.bins) == config.masker:
            return name
    return f"custom-{config.masker.kind}"


def _candidates(config: RunConfig) -> Iterator[str]:
    yield from SYSTEMS
    if isinstance(config.masker, DwsMaskerConfig):
        for endings in itertools.product(*(("", ending) for ending in DWS_VARIANTS)):
            yield f"dws-{config.masker.layers}-{config.masker.channels}{''.join(endings)}"
