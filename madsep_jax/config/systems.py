"""The systems that can be compared, by name: what each row of the comparison changes in the base configuration."""

import itertools
import re
from typing import Any

from madsep_jax.config.io import override
from madsep_jax.config.maskers import KINDS, DwsMaskerConfig, MaskerConfig
from madsep_jax.config.own import OwnConfig, is_own
from madsep_jax.config.presets import masker_fields
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError, did_you_mean

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

_DWS = re.compile(r"dws-(\d+)-(\d+)" + "".join(f"({ending})?" for ending in DWS_VARIANTS))


def named_systems() -> dict[str, MaskerConfig]:
    """Return the full-size maskers that have a name of their own."""
    return {name: kind(**fields) for kind in KINDS.values() for name, fields in kind.systems.items()}


def masker_of(system: str) -> MaskerConfig:
    """Return the full-size masker of a system: one of `named_systems`, or `dws-L-C` for L_enc = L blocks of C channels.

    Or one of somebody's own, as `my_masker.py:TcnMasker`, whose file is read and not run.
    The autoencoders, and `dilated-gru`, have no denoiser: their masker is the whole model.

    Raises:
        InputError: on an unknown name, or where there is no such file.
    """
    if is_own(system):
        return OwnConfig.of(system)
    if system in (named := named_systems()):
        return named[system]
    if match := _DWS.fullmatch(system):
        masker = DwsMaskerConfig(layers=int(match[1]), channels=int(match[2]))
        for ending in filter(None, match.groups()[2:]):
            masker = override(masker, DWS_VARIANTS[ending])
        return masker
    # `dws` alone stands for the grid of --layers and --channels.
    names = (*named, ALL, "dws", "dws-L-C", *(f"dws-L-C{ending}" for ending in DWS_VARIANTS))
    raise InputError(f"system {system!r}: unknown, {did_you_mean(system, names)} (dws-5-64: 5 layers, 64 channels)")


def mark_of(system: str) -> str:
    """Return the shape of a system's point in pictures, also of one that is not known (any more)."""
    try:
        return MaskerConfig().mark if is_own(system) else masker_of(system).mark
    except InputError:
        return MaskerConfig().mark


def place_of(system: str) -> tuple[Any, ...]:
    """Return where a system stands in a table, whatever stands there beside it; one that is not known, at the end.

    The named systems in the order of `ALL`, then the CNNs, plain ones first, by their sizes.
    """
    if system in (named := list(named_systems())):
        return 0, named.index(system)
    if match := _DWS.fullmatch(system):
        endings = [number for number, ending in enumerate(match.groups()[2:]) if ending]
        return 1, *endings, -1, int(match[1]), int(match[2])
    return 2, system


def fields_of(system: str, base: RunConfig) -> dict[str, Any]:
    """Return every field, by dotted name, that a system sets in the base configuration, and its value.

    All systems set the masker, fitted to the base's signal and preset (see `masker_fields`). The autoencoders, which
    are published on single frames, set the sequences as well: of one frame, in batches of as many frames as the base's
    batches have targets.

    Raises:
        InputError: on an unknown name.
    """
    fields = masker_fields(base, masker_of(system).fitted_to(base.signal.bins))
    if not fields["masker"].single_frames:
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
            names += [*named_systems(), *ALL_DWS.get(preset, ALL_DWS["paper"])]
        elif system == "dws":
            names += [f"dws-{layer}-{channel}" for layer in layers for channel in channels]
        else:
            masker_of(system)
            names.append(system)
    return list(dict.fromkeys(names))


def system_name(config: RunConfig) -> str:
    """Return the name by which the ablation knows a system; for one with other fields, `custom` and its kind."""
    masker = config.masker
    if isinstance(masker, OwnConfig):
        return masker.name
    names = list(masker.systems)
    if isinstance(masker, DwsMaskerConfig):
        endings = itertools.product(*(("", ending) for ending in DWS_VARIANTS))
        names += [f"dws-{masker.layers}-{masker.channels}{''.join(each)}" for each in endings]
    fitting = (name for name in names if masker_of(name).fitted_to(config.signal.bins) == masker)
    return next(fitting, f"custom-{masker.kind}")
