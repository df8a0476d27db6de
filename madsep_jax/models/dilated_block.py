"""The block of dilated convolutions and a dilated GRU. Convolutions run over time, frequencies are their channels.

The source [1] says what a block is made of. It leaves open, and is decided here: a block's convolutions have `kernel`
taps and dilations 1, 2, 4, …, each followed by a LeakyReLU; zeros before and after the sequence keep its length; the
GRU's directions share out the block's channels; the skip is a sum, after the GRU.

[1] Liu, Yang: Dilated Convolution with Dilated GRU for Music Source Separation, 2019 (abstract).
[2] Salimans, Kingma: Weight Normalization, 2016 (arXiv:1602.07868).
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.config.run import ComputeConfig, Operations
from madsep_jax.models.dilated_gru import DilatedGru
from madsep_jax.ops.choice import recomputed

LEAKY_SLOPE = 1e-2

#: Length of a kernel that keeps the mean square of its input through a LeakyReLU (He et al. 2015).
_RELU_GAIN = math.sqrt(2 / (1 + LEAKY_SLOPE**2))


class DilatedBlock(nn.Module):
    """Dilated convolutions with LeakyReLU → dilated GRU; plus the block's input, mapped where its size differs."""

    config: DilatedConfig
    operations: Operations = "auto"

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Map (batch, T, D) to (batch, T, channels).

        A convolution whose input is not `channels` wide, the first one's spectrum, is not divided into groups: F = 2049
        cannot be, and no frequency should be kept from the others.
        """
        config = self.config
        h_BTC = x_BTD
        for layer in range(config.convolutions):
            groups = config.groups if h_BTC.shape[-1] == config.channels else 1
            convolution = WeightNormConv(config.channels, config.kernel, 2**layer, groups, name=f"convolution_{layer}")
            h_BTC = nn.leaky_relu(convolution(h_BTC), LEAKY_SLOPE)
        hidden = config.channels // 2 if config.bidirectional else config.channels
        h_BTC = DilatedGru(hidden, config.gru_dilation, config.bidirectional, self.operations, name="gru")(h_BTC)
        if x_BTD.shape[-1] != config.channels:
            x_BTD = WeightNormConv(config.channels, gain=1.0, name="skip")(x_BTD)
        return h_BTC + x_BTD


class DilatedStack(nn.Module):
    """One block after the other."""

    config: DilatedConfig
    compute: ComputeConfig = ComputeConfig()

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Map (batch, T, D) to (batch, T, channels)."""
        block = recomputed(DilatedBlock, self.compute, nn.checkpoint)
        for number in range(self.config.blocks):
            x_BTD = block(self.config, self.compute.operations, name=f"block_{number}")(x_BTD)
        return x_BTD


class WeightNormConv(nn.Module):
    """Convolution over time with weight normalisation: the kernel of each output channel is g · v / ‖v‖ ([2] eq. 2).

    v starts as He et al. initialise a kernel, g at the length that such a kernel has on average, the bias at 0.
    """

    features: int
    kernel: int = 1
    dilation: int = 1
    """Steps between the taps."""
    groups: int = 1
    """Groups of channels that are kept apart; divides the channels of input and output."""
    gain: float = _RELU_GAIN
    """g at the start."""

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Map (batch, T, D) to (batch, T, features)."""
        fan_in = x_BTD.shape[-1] // self.groups
        he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        v_KDC = self.param("v", he_normal, (self.kernel, fan_in, self.features))
        g_C = self.param("g", nn.initializers.constant(self.gain), (self.features,))
        bias_C = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel_KDC = v_KDC * (g_C * jax.lax.rsqrt(jnp.sum(jnp.square(v_KDC), axis=(0, 1))))
        h_BTC = jax.lax.conv_general_dilated(
            x_BTD,
            kernel_KDC,
            window_strides=(1,),
            padding="SAME",
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NHC", "HIO", "NHC"),
            feature_group_count=self.groups,
        )
        return h_BTC + bias_C
