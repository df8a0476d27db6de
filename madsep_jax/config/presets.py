"""Named recipes: differences from the paper's configuration.

`paper`: the DWS paper's sec. III, systems of full size, 100 epochs of DSD100 at batch 4. Expected on DSD100's Test
songs (its Table II, median over segments): MaD 3.62 dB SDR, DWS L_enc 7 C 256 4.94 dB SDR. An epoch of DSD100's 50
Dev songs is about 9 000 steps, days of two CPU cores and a job for an accelerator.

`released_code`: what the published programs of MaD, MaD TwinNet and the DWS-CNN do in place of what the paper says,
field by field below. Data, cost and expected scores as for `paper`.

`quick`: the same systems on spectra of a quarter of the size (a quarter of rate, window, hop and FFT: 11 025 Hz, 513
bins, the same 8.7 ms a frame), with a larger learning rate, for a first table on two CPU cores within minutes.
"""

from dataclasses import dataclass
from typing import Any

from madsep_jax.config.io import differences, override
from madsep_jax.config.maskers import AutoencoderConfig, MaskerConfig
from madsep_jax.config.run import RunConfig
from madsep_jax.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Deviation:
    """One field in which the released code differs from the paper's configuration."""

    field: str
    """Of `RunConfig`, by dotted name."""
    value: Any
    kind: str | None
    """Kind of masker that it is about; None for every one."""
    effect: str
    """What it changes."""


_BOTH = "time_and_frequency"
_UNITS_ANEW = (
    "numbers the units of a GRU anew: any separator can be written in either way, but published weights need this one"
)

#: In the order of the work: data, model, loss.
RELEASED_CODE: tuple[Deviation, ...] = (
    Deviation(
        "sequences.tail",
        "drop",
        None,
        "sequences start at a song's first frame, and those that do not fill a batch are left out, in place of "
        "padding: a song's first L frames and its end are never a target",
    ),
    Deviation(
        "training.order",
        "passes",
        None,
        "sequences are shuffled within passes of 16 songs in file order, in place of all songs; songs that do not fill "
        "a pass, the last two of DSD100's 50, are left out",
    ),
    Deviation("training.songs_per_pass", 4, "gru", "a pass has 4 songs"),
    Deviation("masker.residual_flip", _BOTH, "gru", f"flips the residual in both axes, which {_UNITS_ANEW}"),
    Deviation("masker.twin_flip", _BOTH, "gru", f"flips the twin's input and states in both axes, which {_UNITS_ANEW}"),
    Deviation("masker.input_frames", "middle", "dws", "the CNN does not see the context frames"),
    Deviation(
        "loss.target",
        "ratio_mask",
        None,
        "learns clip(2·m·v / (v + m), 0, 1) from clip(m, 0, 1), in place of v from m; songs are clipped in the same "
        "way when they are separated",
    ),
    Deviation("loss.masker_diagonal_l1", 0.0, "dws", "leaves the penalty of the mask layer's diagonal out"),
    Deviation("loss.denoiser_l2", 0.0, "dws", "leaves the penalty of the denoiser's output layer out"),
)


def released_fields(kind: str | None) -> dict[str, Any]:
    """Return the fields that concern one kind of masker and no other, or, for None, those that concern all."""
    return {deviation.field: deviation.value for deviation in RELEASED_CODE if deviation.kind == kind}


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
        "training.steps": 300,
    },
}


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
    of_kind = released_fields(masker.kind) if base.preset == "released_code" else {}
    own = {name.removeprefix("masker."): value for name, value in of_kind.items() if name.startswith("masker.")}
    by_hand = differences(preset_config(base.preset), base)
    others = {name: value for name, value in of_kind.items() if not name.startswith("masker.") and name not in by_hand}
    return {"masker": override(masker, own), **others}


def deviations_table() -> str:
    """Return the deviations as a Markdown table."""
    systems = {None: "all", "gru": "MaD", "dws": "DWS-CNN"}
    lines = ["| field | value | of | what it changes |", "|---|---|---|---|"]
    lines += [f"| `{d.field}` | `{d.value}` | {systems[d.kind]} | {d.effect} |" for d in RELEASED_CODE]
    return "\n".join(lines) + "\n"
