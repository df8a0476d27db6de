"""Named recipes: differences from the paper's configuration.

`paper`: the DWS paper's sec. III, systems of full size, 100 epochs of DSD100 at batch 4. Expected on DSD100's Test
songs (its Table II, median over segments): MaD 3.62 dB SDR, DWS L_enc 7 C 256 4.94 dB SDR. An epoch of DSD100's 50
Dev songs is about 9 000 steps, days of two CPU cores and a job for an accelerator.

`quick`: the same systems on spectra of a quarter of the size (a quarter of rate, window, hop and FFT: 11 025 Hz, 513
bins, the same 8.7 ms a frame), with a larger learning rate, for a first table on two CPU cores within minutes.
"""

from typing import Any

from madsep_jax.config import DwsMaskerConfig, GruMaskerConfig, MaskerConfig, RunConfig
from madsep_jax.config_io import override
from madsep_jax.errors import InputError
from madsep_jax.nearest import did_you_mean

#: Fields of `RunConfig`, by dotted name, in which each preset differs from the defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "quick": {
        "signal.sample_rate": 11025,
        "signal.window_length": 513,
        "signal.hop_length": 96,
        "signal.fft_length": 1024,
        "training.learning_rate": 1e-3,
        "training.steps": 600,
    },
}

#: R, the bins that the GRU encoder reads, as a share of all: 744 of the paper's 2049.
_REDUCED_SHARE = 744 / 2049


def preset_config(name: str) -> RunConfig:
    """Return the base configuration of a preset. Raises InputError on an unknown name."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: unknown, {did_you_mean(name, PRESETS)}")
    # The default masker is replaced by each system's own; it only has to fit the signal here.
    base = RunConfig(preset=name, masker=DwsMaskerConfig())
    return override(base, PRESETS[name])


def fit_to_bins(masker: MaskerConfig, bins: int) -> MaskerConfig:
    """Return the masker for spectra of `bins` bins: the GRU's reduced bins keep their share."""
    if isinstance(masker, GruMaskerConfig):
        return override(masker, {"reduced_bins": round(bins * _REDUCED_SHARE)})
    return masker
