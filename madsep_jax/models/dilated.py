"""Dilated convolutions with a dilated GRU: the block, the stack of blocks as a whole model, and as a masker.

Convolutions run over time, frequencies are their channels. The source [1] says what a block is made of, and predicts
voice and accompaniment at once. It leaves open, and is decided here, so that the comparison with the other systems is
one of the networks alone:

- A block's convolutions have `kernel` taps and dilations 1, 2, 4, …, each followed by a LeakyReLU; zeros before and
  after the sequence keep its length; the GRU's directions share out the block's channels; the skip is a sum, after the
  GRU.
- A source's estimate is a mask times the mixture, from one linear layer and a ReLU. The masks are not made to add up to
  1 (as a softmax would): magnitudes do not add up where phases differ, and a voice may exceed the mixture.
- The network reads magnitudes as they are, context frames included, as the other maskers do.
- What is separated is the voice; the accompaniment is the rest of the mixture, so that both add up. The estimate of
  the accompaniment serves the training (`madsep_jax.train.losses`).

[1] Liu, Yang: Dilated Convolution with Dilated GRU for Music Source Separation, 2019 (abstract).
[2] Salimans, Kingma: Weight Normalization, 2016 (arXiv:1602.07868).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import DilatedConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import dense
from madsep_jax.models.gru import Gru, both_directions, evaluation_layout
from madsep_jax.models.mad import Separation, SeparationModel
from madsep_jax.ops.choice import recomputed
from madsep_jax.signal.framing import middle_frames

LEAKY_SLOPE = 1e-2

#: Length of a kernel that keeps the mean square of its input through a LeakyReLU (He et al. 2015).
_RELU_GAIN = math.sqrt(2 / (1 + LEAKY_SLOPE**2))


class DilatedBlock(nn.Module):
    """Dilated convolutions with LeakyReLU → dilated GRU; plus the block's input, mapped where its size differs."""

    config: DilatedConfig
    compute: ComputeConfig = ComputeConfig()

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
        h_BTC = DilatedGru(hidden, config.gru_dilation, config.bidirectional, self.compute, name="gru")(h_BTC)
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
        unwrapped = dataclasses.replace(self.compute, remat=False)
        for number in range(self.config.blocks):
            x_BTD = block(self.config, unwrapped, name=f"block_{number}")(x_BTD)
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


class DilatedGru(nn.Module):
    """A GRU layer in which step t reads the state of step t - k, for a fixed k; the first k states are 0.

    The steps t, t + k, t + 2k, … then form a sequence of their own. The k sequences lie interleaved in time and share
    nothing but their parameters, those of a `Gru`, so they run side by side as one batch: T / k sequential steps in
    place of T.
    """

    hidden: int
    """Units of each direction."""
    dilation: int
    """k; 1 makes an ordinary GRU."""
    bidirectional: bool = False
    """Add a direction in which step t reads step t + k; its states follow the others along the last axis."""
    compute: ComputeConfig = ComputeConfig()

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Return the hidden states of an input sequence of any length; the last axis is hidden, or twice that."""
        frames = x_BTD.shape[1]
        # What fills the last round of k steps must come last in the direction of the run, where it reaches no output.
        fill = -frames % self.dilation
        forward = Gru(self.hidden, compute=self.compute, name="forward")
        later_BTD = to_batch(jnp.pad(x_BTD, ((0, 0), (0, fill), (0, 0))), self.dilation)
        if not self.bidirectional:
            return from_batch(forward(later_BTD), self.dilation)[:, :frames]
        backward = Gru(self.hidden, reverse=True, compute=self.compute, name="backward")
        earlier_BTD = to_batch(jnp.pad(x_BTD, ((0, 0), (fill, 0), (0, 0))), self.dilation)
        ahead_BTH, back_BTH = both_directions(forward, backward, later_BTD, earlier_BTD)
        states = from_batch(ahead_BTH, self.dilation)[:, :frames], from_batch(back_BTH, self.dilation)[:, fill:]
        return jnp.concatenate(states, axis=-1)


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


class DilatedMasker(nn.Module):
    """The stack in place of MaD's recurrent encoder and decoder, the mask layer after it."""

    config: DilatedConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF; `train` changes nothing here."""
        h_BSC = DilatedStack(self.config, self.compute, name="stack")(mag_BSF)
        h_BTC = middle_frames(h_BSC, self.context_frames)
        return nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(h_BTC))


class DilatedSystem(SeparationModel):
    """The stack as a model of its own: a mask for the voice and one for the accompaniment, no denoiser."""

    config: DilatedConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> Separation:
        """Estimate voice and accompaniment in the middle frames of mag_BSF; `train` changes nothing here."""
        h_BSC = DilatedStack(self.config, self.compute, name="stack")(mag_BSF)
        h_BTC = middle_frames(h_BSC, self.context_frames)
        masks_BTF = nn.relu(dense(2 * mag_BSF.shape[-1], "mask_layer")(h_BTC))
        voice_mask_BTF, accompaniment_mask_BTF = jnp.split(masks_BTF, 2, axis=-1)
        mix_BTF = middle_frames(mag_BSF, self.context_frames)
        return Separation(
            masker_BTF=None, voice_BTF=mix_BTF * voice_mask_BTF, accompaniment_BTF=mix_BTF * accompaniment_mask_BTF
        )


ARCHITECTURE = Architecture(
    DilatedConfig,
    lambda config, *rest: (DilatedMasker if config.role == "masker" else DilatedSystem)(config, *rest),
    evaluation_layout=evaluation_layout,
)
