"""The depthwise-separable block (eq. 12 to 15 of the DWS paper). Arrays are (batch, time, frequency, channels)."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.models.batch_norm import BatchNorm
from madsep_jax.ops.depthwise import depthwise_convolution
from madsep_jax.ops.pooling import max_pool_frequency

LEAKY_SLOPE = 1e-2


class DwsBlock(nn.Module):
    """Depthwise convolution → LeakyReLU → BatchNorm → pointwise → ReLU → BatchNorm → max-pool → channel dropout."""

    channels: int
    kernel: int = 5
    pool: int = 1
    """Neighbouring frequencies of which the largest is kept; 1 for no pooling."""
    dropout: float = 0.1
    dilation: int = 1
    """Frames between the taps of the depthwise kernel."""
    pointwise_kernel: int = 1
    """Side of the square channel-wise kernel."""

    @nn.compact
    def __call__(self, x_BTWC: jax.Array, train: bool) -> jax.Array:
        """Map (batch, T, W, C_in) to (batch, T, W // pool, channels). An input of one channel is spread over all."""
        h_BTWC = nn.leaky_relu(self.depthwise(x_BTWC), LEAKY_SLOPE)
        h_BTWC = BatchNorm(name="depthwise_norm")(h_BTWC, train)
        h_BTWC = nn.relu(self.pointwise(h_BTWC))
        h_BTWC = BatchNorm(name="pointwise_norm")(h_BTWC, train)
        h_BTWC = max_pool_frequency(h_BTWC, self.pool)
        return nn.Dropout(self.dropout, broadcast_dims=(1, 2))(h_BTWC, deterministic=not train)

    def depthwise(self, x_BTWC: jax.Array) -> jax.Array:
        """Convolve each channel with its own kernel; zero padding keeps the size."""
        uniform = uniform_by_fan_in(self.kernel**2)
        kernel = self.param("depthwise_kernel", uniform, (self.kernel, self.kernel, self.channels))
        bias = self.param("depthwise_bias", uniform, (self.channels,))
        return depthwise_convolution(x_BTWC, kernel, self.dilation) + bias

    def pointwise(self, x_BTWC: jax.Array) -> jax.Array:
        """Mix the channels of each position, or of its neighbourhood; zero padding keeps the size."""
        if self.pointwise_kernel == 1:
            return torch_dense(self.channels, self.channels, "pointwise")(x_BTWC)
        uniform = uniform_by_fan_in(self.channels * self.pointwise_kernel**2)
        sides = (self.pointwise_kernel, self.pointwise_kernel)
        return nn.Conv(self.channels, sides, kernel_init=uniform, bias_init=uniform, name="pointwise")(x_BTWC)


def uniform_by_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """Return PyTorch's default for convolutions: uniform in ±1/sqrt(fan_in), for kernel and bias alike."""
    bound = 1 / math.sqrt(fan_in)

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initializer


def torch_dense(fan_in: int, features: int, name: str, use_bias: bool = True) -> nn.Dense:
    """Return a pointwise (1×1) convolution, initialised as convolutions are in PyTorch."""
    uniform = uniform_by_fan_in(fan_in)
    return nn.Dense(features, use_bias=use_bias, kernel_init=uniform, bias_init=uniform, name=name)
