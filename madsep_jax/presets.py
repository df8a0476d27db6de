"""Named recipes: differences from the paper's configuration.

`paper`: the DWS paper's sec. III, systems of full size, 100 epochs of DSD100 at batch 4. Expected on DSD100's Test
songs (its Table II, median over segments): MaD 3.62 dB SDR, DWS L_enc 7 C 256 4.94 dB SDR. An epoch of DSD100's 50
Dev songs is about 9 000 steps, days of two CPU cores and a job for an accelerator.

`released_code`: what the published programs do in place of what the paper says; `madsep_jax.released_code` lists every
field, and what it changes. Data, cost and expected scores as for `paper`.

`quick`: the same systems on spectra of a quarter of the size (a quarter of rate, window, hop and FFT: 11 025 Hz, 513
bins, the same 8.7 ms a frame), with a larger learning rate, for a first table on two CPU cores within minutes.
"""

from collections.abc import Callable
from typing import Any

from madsep_jax.config import AutoencoderConfig, DilatedConfig, GruMaskerConfig, MaskerConfig, RunConfig
from madsep_jax.config_io import differences, override
from madsep_jax.errors import InputError
from madsep_jax.nearest import did_you_mean
from madsep_jax.released_code import released_fields

#: Fields of `RunConfig`, by dotted name, in which each preset differs from the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "released_code": released_fields(None),
    "quick": {
        "signal.sample_rate": 11025,
        "signal.window_length": 513,
        "signal.hop_length": 96,
        "signal.fft_length": 1024,
        "training.learning_rate": 1e-3,
        "training.steps": 600,
    },
}

#: F of the full-size systems.
_FULL_BINS = 2049

#: Further fields of a preset that depend on the kind of masker.
_FIELDS_OF_KIND: dict[str, Callable[[str], dict[str, Any]]] = {"released_code": released_fields}


def preset_config(name: str) -> RunConfig:
    """Return the base configuration of a preset. Raises InputError on an unknown name."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: unknown, {did_you_mean(name, PRESETS)}")
    # The default masker is replaced by each system's own; it only has to fit the signal here.
    base = RunConfig(preset=name, masker=AutoencoderConfig())
    return override(base, PRESETS[name])


def masker_fields(base: RunConfig, masker: MaskerConfig) -> dict[str, Any]:
    """Return the fields that a masker sets in a preset's configuration, by dotted name.

    That is the masker, with the preset's choices for its kind, and what else the preset sets for this kind; the latter
    only where `base` still has the preset's own value, so that what was set by hand stays.
    """
    of_kind = _FIELDS_OF_KIND.get(base.preset, lambda kind: {})(masker.kind)
    own = {name.removeprefix("masker."): value for name, value in of_kind.items() if name.startswith("masker.")}
    by_hand = differences(preset_config(base.preset), base)
    others = {name: value for name, value in of_kind.items() if not name.startswith("masker.") and name not in by_hand}
    return {"masker": override(masker, own), **others}


def fit_to_bins(masker: MaskerConfig, bins: int) -> MaskerConfig:
    """Return a full-size masker for spectra of `bins` bins: what is a number of frequencies keeps its share of them.

    That is the GRU's reduced bins, and the channels of the dilated blocks, which have frequencies for channels.
    """
    if isinstance(masker, GruMaskerConfig):
        return override(masker, {"reduced_bins": round(bins * masker.reduced_bins / _FULL_BINS)})
    if isinstance(masker, DilatedConfig):
        unit = 2 * masker.groups
        units = round(bins * masker.channels / _FULL_BINS / unit)
        return override(masker, {"channels": max(units, 1) * unit})
    return masker
