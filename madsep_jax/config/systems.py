"""The systems that can be compared, by name: what each row of the comparison changes in the base configuration."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from madsep_jax.config.io import override
from madsep_jax.config.maskers import (
    AutoencoderConfig,
    DilatedConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    MaskerConfig,
    fit_to_bins,
)
from madsep_jax.config.presets import masker_fields
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError, did_you_mean

#: Full-size maskers. Voice SDR / SIR / SAR in dB are the published ones (DSD100 Test, `paper` protocol).
SYSTEMS: dict[str, MaskerConfig] = {
    # 3.62 / 7.06 / 5.88 (DWS paper, Table II)
    "mad": GruMaskerConfig(),
    # 3.41 / 8.32 (recurrent-inference poster, RIS-s)
    "mad-ris-s": GruMaskerConfig(recurrent_iterations=3, recurrent_tolerance=1e-2),
    # 4.20 / 7.94 / 5.91 (DWS paper, Table II; RIS-l)
    "mad-ris-l": GruMaskerConfig(recurrent_iterations=10, recurrent_tolerance=1e-3),
    # 4.57 / 8.17 / 5.95 (DWS paper, Table II)
    "mad-twinnet": GruMaskerConfig(twin=True),
    # the dilated blocks in place of the recurrent masker: not published
    "mad-dilated": DilatedConfig(role="masker"),
    # the dilated blocks alone: published on other data
    "dilated-gru": DilatedConfig(role="system"),
    # of single frames, see `fields_of`: published without such scores
    "dae": AutoencoderConfig(),
    "dae-deep": AutoencoderConfig(hidden_layers=3),
    "skip-filtering": AutoencoderConfig(skip_filtering=True),
}

#: What the endings of `dws-L-C`, which combine in this order, change in the masker. None is of the paper's tables; the
#: last two are its future work.
DWS_VARIANTS: dict[str, dict[str, Any]] = {
    "-res": {"residual": True},
    "-dilated": {"dilations": (1, 2, 4, 8)},
    "-k3": {"pointwise_kernel": 3},
}

#: What `ALL` stands for: every named system, the sizes of the preset's own selection and the variants of a small one.
ALL = "ALL"

ALL_DWS = {
    "quick": ("dws-3-16", "dws-5-32", "dws-3-16-res", "dws-3-16-dilated", "dws-3-16-k3"),
    "paper": ("dws-5-64", "dws-7-256", "dws-5-64-res", "dws-5-64-dilated", "dws-5-64-k3"),
}

#: What the options accept: `dws` alone stands for the grid of --layers and --channels.
NAMES = (*SYSTEMS, ALL, "dws", "dws-L-C", *(f"dws-L-C{ending}" for ending in DWS_VARIANTS))

_DWS = re.compile(r"dws-(\d+)-(\d+)" + "".join(f"({ending})?" for ending in DWS_VARIANTS))


def masker_of(system: str) -> MaskerConfig:
    """Return the full-size masker of a system: one of `SYSTEMS`, or `dws-L-C` for L_enc = L blocks of C channels.

    The autoencoders, and `dilated-gru`, have no denoiser: their masker is the whole model.

    Raises:
        InputError: on an unknown name.
    """
    if system in SYSTEMS:
        return SYSTEMS[system]
    if match := _DWS.fullmatch(system):
        masker = DwsMaskerConfig(layers=int(match[1]), channels=int(match[2]))
        for ending in filter(None, match.groups()[2:]):
            masker = override(masker, DWS_VARIANTS[ending])
        return masker
    raise InputError(f"system {system!r}: unknown, {did_you_mean(system, NAMES)} (dws-5-64: 5 layers, 64 channels)")


def fields_of(system: str, base: RunConfig) -> dict[str, Any]:
    """Return every field, by dotted name, that a system sets in the base configuration, and its value.

    All systems set the masker, fitted to the base's signal and preset (see `masker_fields`). The autoencoders, which
    are published on single frames, set the sequences as well: of one frame, in batches of as many frames as the base's
    batches have targets.

    Raises:
        InputError: on an unknown name.
    """
    fields = masker_fields(base, fit_to_bins(masker_of(system), base.signal.bins))
    if not isinstance(fields["masker"], AutoencoderConfig):
        return fields
    return {
        **fields,
        "sequences.frames": 1,
        "sequences.context": 0,
        "training.batch_size": base.training.batch_size * base.sequences.target_frames,
    }


def expand(
    systems: tuple[str, ...], layers: tuple[int, ...], channels: tuple[int, ...], preset: str = "paper"
) -> list[str]:
    """Replace `dws` and `ALL` by what they stand for; check the other names; drop what is named twice."""
    names: list[str] = []
    for system in systems:
        if system == ALL:
            names += [*SYSTEMS, *ALL_DWS.get(preset, ALL_DWS["paper"])]
            continue
        if system == "dws":
            names += [f"dws-{layer}-{channel}" for layer in layers for channel in channels]
        else:
            masker_of(system)
            names.append(system)
    return list(dict.fromkeys(names))


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
