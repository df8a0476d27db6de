"""Batch normalisation that keeps its running statistics as PyTorch does."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class BatchNorm(nn.Module):
    """Normalise each channel over all other axes, then scale and shift it.

    Training uses the batch's biased variance and moves the running statistics, in the collection `batch_stats`, by
    `momentum` towards the batch's mean and *unbiased* variance (Flax's own layer takes the biased one). Evaluation
    uses the running statistics.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return x (…, C) normalised."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), scale.dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,), scale.dtype)
        if not train:
            mean, var = running_mean.value, running_var.value
        else:
            axes = tuple(range(x.ndim - 1))
            mean, var = jnp.mean(x, axes), jnp.var(x, axes)
            if not self.is_initializing():
                count = x.size // channels
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value += self.momentum * (mean - running_mean.value)
                running_var.value += self.momentum * (unbiased - running_var.value)
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return x * factor + (bias - mean * factor)
