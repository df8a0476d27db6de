"""MaD as it was published: four state dicts, one for each of its modules."""

from collections.abc import Mapping
from typing import Any

from madsep_jax.errors import InputError

#: Name of each part, as of its file without the ending, and the prefix that its names have in the whole model.
PARTS = {
    "rnn_enc": "masker.rnn_enc.",
    "rnn_dec": "masker.rnn_dec.",
    "fnn": "masker.fnn.",
    "denoiser": "denoiser.",
}


def join_parts(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the four parts of MaD as one state dict, for `from_torch`.

    A part's names may be the module's own (`gru_enc.weight_ih_l0`) or begin with the module's name, whole
    (`masker.rnn_enc.`) or last (`rnn_enc.`).

    Args:
        parts: `rnn_enc`, `rnn_dec`, `fnn` and `denoiser`, each to its state dict.

    Raises:
        InputError: where a part is missing, unknown, or holds a name twice.
    """
    missing = [f"missing {name}" for name in PARTS if name not in parts]
    unknown = [f"left over {name}" for name in sorted(parts) if name not in PARTS]
    if missing or unknown:
        raise InputError(f"parts of MaD: {'; '.join(missing + unknown)}; expected {', '.join(PARTS)}")
    joined: dict[str, Any] = {}
    for part, prefix in PARTS.items():
        for name, array in parts[part].items():
            whole = prefix + name.removeprefix("masker.").removeprefix(f"{part}.")
            if whole in joined:
                raise InputError(f"parts of MaD: {part} holds {whole} twice")
            joined[whole] = array
    return joined
