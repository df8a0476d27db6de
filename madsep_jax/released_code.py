"""Where the released code of MaD, MaD TwinNet and the DWS-CNN does something else than the DWS paper says.

The preset `released_code` takes all of it. Most concerns every system, some only those with one kind of masker.
"""

from dataclasses import dataclass
from typing import Any


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


def deviations_table() -> str:
    """Return the deviations as a Markdown table."""
    systems = {None: "all", "gru": "MaD", "dws": "DWS-CNN"}
    lines = ["| field | value | of | what it changes |", "|---|---|---|---|"]
    lines += [f"| `{d.field}` | `{d.value}` | {systems[d.kind]} | {d.effect} |" for d in RELEASED_CODE]
    return "\n".join(lines) + "\n"
