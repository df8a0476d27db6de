"""The twin of MaD's decoder, which runs backwards and is used in training alone (MaD TwinNet).

Source: ref. 5 of the DWS paper, as released.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.denoiser import dense
from madsep_jax.models.gru import Gru


class TwinMask(NamedTuple):
    """The twin's mask, and the states that it comes from; frames in the order of the signal."""

    mask_BTF: jax.Array
    state_BTH: jax.Array


class Twin(nn.Module):
    """A GRU that decodes the encoder's states from the last frame to the first, and a mask layer of its own."""

    flip: Literal["time", "time_and_frequency"] = "time"
    """Axes in which the GRU's input and output are flipped. Flipping frequency too only numbers its units anew."""
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, encoded_BTH: jax.Array, bins: int) -> TwinMask:
        """Return mask and states for the encoder's states; `bins` is F."""
        axes = (2,) if self.flip == "time_and_frequency" else ()
        gru = Gru(encoded_BTH.shape[-1], reverse=True, compute=self.compute, name="decoder")
        state_BTH = jnp.flip(gru(jnp.flip(encoded_BTH, axes)), axes)
        return TwinMask(nn.relu(dense(bins, "mask_layer")(state_BTH)), state_BTH)
