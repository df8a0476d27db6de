"""MaD's masker, a bidirectional GRU encoder and a GRU decoder (eq. 1 to 6 of the DWS paper); the decoder's twin."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import GruMaskerConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.denoiser import dense
from madsep_jax.models.gru import Gru, both_directions
from madsep_jax.ops.precision import widened
from madsep_jax.ops.shared_batch import average
from madsep_jax.signal.framing import middle_frames


class GruMask(NamedTuple):
    """A mask, and the states that it comes from (H = 2R)."""

    mask_BTF: jax.Array
    encoded_BTH: jax.Array
    decoded_BTH: jax.Array
    decoder_calls: jax.Array | None
    """Applications of the decoder; None without recurrent inference."""


class Refined(NamedTuple):
    """The last state computed, and what it took."""

    state_BTH: jax.Array
    decoder_calls: jax.Array
    """How often the decoder was applied, the first time included: 2 to `iterations` + 1; int32 scalar."""
    finished: jax.Array
    """Whether the state hardly changed any more."""


class GruMasker(nn.Module):
    """Trim, encode in both directions, add the residual, drop the context, decode, map to a mask."""

    config: GruMaskerConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF."""
        return self.mask_and_states(mag_BSF, train).mask_BTF

    @nn.compact
    def mask_and_states(self, mag_BSF: jax.Array, train: bool = False) -> GruMask:
        """Return the mask with the states; `train` only says that the recurrent inference is to be differentiable."""
        encoded_BTH = self.encode(mag_BSF)
        decoder = Gru(encoded_BTH.shape[-1], compute=self.compute, name="decoder")
        decoded_BTH, calls = decoder(encoded_BTH), None
        if self.config.recurrent_iterations and not self.is_initializing():
            decoded_BTH, calls, _ = self.infer_recurrently(decoder, decoded_BTH, train)
        mask_BTF = nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(decoded_BTH))
        return GruMask(mask_BTF, encoded_BTH, decoded_BTH, calls)

    def encode(self, mag_BSF: jax.Array) -> jax.Array:
        """Return the encoder's states with the residual, context frames dropped (eq. 1 to 4); (batch, T, 2R)."""
        bins = self.config.reduced_bins
        reduced_BSR = mag_BSF[..., :bins]
        forward = Gru(bins, compute=self.compute, name="encoder_forward")
        backward = Gru(bins, reverse=True, compute=self.compute, name="encoder_backward")
        forward_BSR, backward_BSR = both_directions(forward, backward, reduced_BSR, reduced_BSR)
        both_axes = self.config.residual_flip == "time_and_frequency"
        encoded_BSH = with_residual(forward_BSR, backward_BSR, reduced_BSR, (1, 2) if both_axes else (1,))
        return middle_frames(encoded_BSH, self.context_frames)

    def infer_recurrently(self, decoder: Gru, state_BTH: jax.Array, train: bool) -> Refined:
        """Apply the decoder to its own output. The loop takes it as a pure function, with its variables fixed."""
        variables, pure = decoder.variables, decoder.clone(parent=None)
        return refine(
            lambda state: pure.apply(variables, state),  # type: ignore[arg-type, return-value]
            state_BTH,
            self.config.recurrent_iterations,
            self.config.recurrent_tolerance,
            differentiable=train,
        )


def with_residual(
    forward_BSR: jax.Array, backward_BSR: jax.Array, reduced_BSR: jax.Array, flipped_axes: tuple[int, ...] = (1,)
) -> jax.Array:
    """Return the states of both directions side by side, each with the encoder's input added (eq. 2 to 4).

    The backward ones get it flipped in these axes: in time, as eq. 3 says.
    """
    flipped_BSR = jnp.flip(reduced_BSR, flipped_axes)
    return jnp.concatenate([forward_BSR + reduced_BSR, backward_BSR + flipped_BSR], axis=-1)


class Twin(nn.Module):
    """A GRU that decodes the encoder's states from the last frame to the first, and a mask layer of its own.

    It is used in training alone (MaD TwinNet, ref. 5 of the DWS paper, as released).
    """

    flip: Literal["time", "time_and_frequency"] = "time"
    """Axes in which the GRU's input and output are flipped. Flipping frequency too only numbers its units anew."""
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, encoded_BTH: jax.Array, bins: int) -> tuple[jax.Array, jax.Array]:
        """Return mask_BTF and states of the twin, frames in the order of the signal, for the encoder's states."""
        axes = (2,) if self.flip == "time_and_frequency" else ()
        gru = Gru(encoded_BTH.shape[-1], reverse=True, compute=self.compute, name="decoder")
        state_BTH = jnp.flip(gru(jnp.flip(encoded_BTH, axes)), axes)
        return nn.relu(dense(bins, "mask_layer")(state_BTH)), state_BTH


def refine(
    decode: Callable[[jax.Array], jax.Array],
    state_BTH: jax.Array,
    iterations: int,
    tolerance: float,
    differentiable: bool = False,
) -> Refined:
    """Apply a decoder to its own output until that hardly changes (the recurrent-inference poster).

    S_0 = decode(H_enc)
    for i in 1 … iter:  H = decode(S_{i-1});  end if MSE(S_{i-1}, H) < τ;  S_i = H
    return H

    The mean squared error is that of the whole batch, so that one sequence's states depend, through the number of
    iterations, on the other sequences in its batch.

    Args:
        decode: from state to state; a pure function.
        state_BTH: S_0, the decoder's first output.
        iterations: `iter`, the most applications after the first.
        tolerance: τ_term; 0 for no early end.
        differentiable: use a loop that reverse-mode differentiation can go through. It runs all its turns, those after
            the end without decoding. The other one ends at the end. Both return the same.
    """

    def advance(progress: Refined) -> Refined:
        new_BTH = decode(progress.state_BTH)
        change = average(jnp.mean(jnp.square(widened(new_BTH - progress.state_BTH))))
        return Refined(new_BTH, progress.decoder_calls + 1, change < tolerance)

    def unfinished(progress: Refined) -> jax.Array:
        return (progress.decoder_calls <= iterations) & ~progress.finished

    def turn(progress: Refined, _: None) -> tuple[Refined, None]:
        return jax.lax.cond(progress.finished, lambda same: same, advance, progress), None

    start = Refined(state_BTH, jnp.ones((), jnp.int32), jnp.zeros((), bool))
    if differentiable:
        return jax.lax.scan(turn, start, length=iterations)[0]
    return jax.lax.while_loop(unfinished, advance, start)
