"""The dilated GRU: step t reads the state of step t - k, for a fixed k.

The steps t, t + k, t + 2k, … then form a sequence of their own. The k sequences lie interleaved in time and share
nothing but their parameters, so they run side by side as one batch: T / k sequential steps in place of T.

[1] Liu, Yang: Dilated Convolution with Dilated GRU for Music Source Separation, 2019.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.run import ComputeConfig, Operations
from madsep_jax.models.gru import Gru


class DilatedGru(nn.Module):
    """A GRU layer of one or both directions, each with the parameters of a `Gru`; the first k states are 0."""

    hidden: int
    """Units of each direction."""
    dilation: int
    """k; 1 makes an ordinary GRU."""
    bidirectional: bool = False
    """Add a direction in which step t reads step t + k; its states follow the others along the last axis."""
    operations: Operations = "auto"

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states of an input sequence of any length; the last axis is hidden, or twice that."""
        frames = x_BTD.shape[1]
        # What fills the last round of k steps must come last in the direction of the run, where it reaches no output.
        fill = -frames % self.dilation
        later_BTD = jnp.pad(x_BTD, ((0, 0), (0, fill), (0, 0)))
        forward_BTH = self.direction(later_BTD, "forward")[:, :frames]
        if not self.bidirectional:
            return forward_BTH
        earlier_BTD = jnp.pad(x_BTD, ((0, 0), (fill, 0), (0, 0)))
        backward_BTH = self.direction(earlier_BTD, "backward", reverse=True)[:, fill:]
        return jnp.concatenate([forward_BTH, backward_BTH], axis=-1)

    def direction(self, x_BTD: jax.Array, name: str, reverse: bool = False) -> jax.Array:
        """Run one direction over a sequence of whole rounds of k steps."""
        h_BTH = Gru(self.hidden, reverse, ComputeConfig(operations=self.operations), name=name)(
            to_batch(x_BTD, self.dilation)
        )
        return from_batch(h_BTH, self.dilation)


def to_batch(x_BTD: jax.Array, dilation: int) -> jax.Array:
    """Take every k-th step as a sequence of its own: (B, T, D) to (B·k, T / k, D). T is a multiple of k."""
    batch, frames, features = x_BTD.shape
    rounds = x_BTD.reshape(batch, frames // dilation, dilation, features)
    return jnp.swapaxes(rounds, 1, 2).reshape(batch * dilation, frames // dilation, features)


def from_batch(x_BTD: jax.Array, dilation: int) -> jax.Array:
    """Interleave the sequences again: (B·k, T / k, D) to (B, T, D), the inverse of `to_batch`."""
    rows, rounds, features = x_BTD.shape
    phases = x_BTD.reshape(rows // dilation, dilation, rounds, features)
    return jnp.swapaxes(phases, 1, 2).reshape(rows // dilation, rounds * dilation, features)
