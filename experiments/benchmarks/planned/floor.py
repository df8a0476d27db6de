"""The least that a train step moves to and from memory, by what its definition must keep or read."""

import math
from typing import Any

import jax

from madsep_jax.config.maskers import (
    AutoencoderConfig,
    DilatedConfig,
    DwsMaskerConfig,
    GruMaskerConfig,
    MinGruMaskerConfig,
)
from madsep_jax.config.run import RunConfig
from madsep_jax.models.variables import variable_shapes

_FLOAT32 = 4
_POOL = 5

#: Passes over the parameters: they and the optimiser's two moments are read and written; their gradient is written, and
#: read once its norm is known, which clips it.
_PASSES = 8


def floor_bytes(config: RunConfig, kept_bytes: int = 0) -> float | None:
    """Return the least bytes of one train step; None for a masker of which it is not known.

    Each array that must be in memory is written once and read once, and all that lies between two of them is taken to
    stay on the chip:

    - parameters, the optimiser's moments and the gradient (`_PASSES`), in float32, and the batch, read once;
    - of a dense layer, convolution or GRU, its output: the forward pass writes it, the gradient reads it; of a GRU the
      three gates beside the state, of a minimal one the two;
    - of a depthwise-separable block, 11 C + 2 C_in values a position, the least that its two BatchNorms let: each needs
      sums over the whole batch before the next operation can begin, forwards and backwards;
    - a GRU's recurrent kernel once a step and direction of time, forwards and backwards, where the chip does not keep
      arrays of that size (`kept_bytes`) from one kernel to the next.

    What a chip can keep in its own memory need not move at all: a small step on a TPU moves less than this.

    Activations count in the precision of the training. A recurrent inference counts with all its turns.
    """
    batch = config.training.batch_size
    frames, bins = config.sequences.frames, config.signal.bins
    targets = config.sequences.target_frames
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_parameters(config)))
    width = 2 if config.compute.precision == "bfloat16" else _FLOAT32
    if (kept := _kept(config)) is None:
        return None
    values, kernels = kept
    read_again = sum(2 * steps * size * width for size, steps in kernels if size * width > kept_bytes)
    of_batch = batch * (frames + targets) * bins * _FLOAT32
    return _PASSES * parameters * _FLOAT32 + of_batch + values * width + read_again


def _parameters(config: RunConfig) -> Any:
    return variable_shapes(config.model)["params"]


def _kept(config: RunConfig) -> tuple[float, list[tuple[int, int]]] | None:
    """Return the values that are moved beside parameters and batch; of each recurrent kernel its size and its steps."""
    masker, bins, sequences = config.masker, config.signal.bins, config.sequences
    of_frames = config.training.batch_size * sequences.frames
    of_targets = config.training.batch_size * sequences.target_frames
    denoiser = 2 * of_targets * (bins + bins // 2 + bins)  # what the mask gives, the hidden layer, the estimate
    if isinstance(masker, AutoencoderConfig):
        return 2 * of_frames * bins * (masker.hidden_layers + 1), []
    if isinstance(masker, DwsMaskerConfig):
        positions = of_targets if masker.input_frames == "middle" else of_frames
        reduced = 2 * of_targets * (8 * _dws_widths(masker, bins)[-1] // _POOL + bins)
        return positions * _dws_values(masker, bins) + reduced + denoiser, []
    if isinstance(masker, GruMaskerConfig):
        one, both = masker.reduced_bins, 2 * masker.reduced_bins
        turns = max(masker.recurrent_iterations, 1)
        decoders = turns + masker.twin
        values = 2 * 4 * (2 * of_frames * one + decoders * of_targets * both) + 2 * decoders * of_targets * bins
        kernels = [(3 * one**2, sequences.frames)] * 2 + [(3 * both**2, sequences.target_frames)] * decoders
        return values + denoiser, kernels
    if isinstance(masker, MinGruMaskerConfig):
        one, both = masker.reduced_bins, 2 * masker.reduced_bins
        return 2 * 3 * (2 * of_frames * one + of_targets * both) + 2 * of_targets * bins + denoiser, []
    if not isinstance(masker, DilatedConfig):
        return None
    hidden = masker.channels // (2 if masker.bidirectional else 1)
    values = 2 * of_frames * masker.channels * (masker.convolutions + 4) * masker.blocks + 2 * of_targets * bins
    directions = masker.blocks * (2 if masker.bidirectional else 1)
    kernels = [(3 * hidden**2, -(-sequences.frames // masker.gru_dilation))] * directions
    return values + (denoiser if masker.role == "masker" else 2 * of_targets * bins), kernels


def _dws_widths(masker: DwsMaskerConfig, bins: int) -> list[int]:
    """Return the frequencies that each block works on: the first, the equal ones, the two of the decoder."""
    pooled = bins // _POOL
    upsampled = 2 * pooled - 4
    return [bins, *[pooled] * masker.layers, upsampled, upsampled // _POOL]


def _dws_values(masker: DwsMaskerConfig, bins: int) -> int:
    """Return the values that the blocks move, for each frame."""
    first, *others = _dws_widths(masker, bins)
    channels = masker.channels
    return first * (11 * channels + 2) + sum(others) * (11 + 2) * channels
