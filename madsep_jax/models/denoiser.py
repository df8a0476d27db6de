"""The denoiser: a two-layer autoencoder per frame (eq. 8 to 10 of the DWS paper)."""

import jax
from flax import linen as nn


class Denoiser(nn.Module):
    """F → F//2 → F, a ReLU after each layer. The output is a mask for the denoiser's input."""

    last_layer = ("decoder",)

    @nn.compact
    def __call__(self, masker_BTF: jax.Array) -> jax.Array:
        """Return the mask (batch, T, F) for the masker's output."""
        bins = masker_BTF.shape[-1]
        hidden = nn.relu(dense(bins // 2, "encoder")(masker_BTF))
        return nn.relu(dense(bins, "decoder")(hidden))


def dense(features: int, name: str) -> nn.Dense:
    """Return a linear layer with Xavier normal weights and zero bias, as the papers initialise all of theirs."""
    return nn.Dense(features, kernel_init=nn.initializers.xavier_normal(), name=name)
