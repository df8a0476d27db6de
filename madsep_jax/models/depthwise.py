"""The depthwise-separable block (eq. 12 to 15 of the DWS paper), and several equal ones in a row.

Arrays are (batch, time, frequency, channels). `madsep_jax.ops.dws.block` says what a block computes.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.run import ComputeConfig
from madsep_jax.ops.dropout import drawn
from madsep_jax.ops.dws.block import BlockMoments, BlockParameters
from madsep_jax.ops.dws.form import evaluate_block, evaluate_blocks, train_block, train_blocks
from madsep_jax.ops.dws.lazy import LazyArray, Normalised
from madsep_jax.ops.shared_batch import own_part, shares

#: How far BatchNorm's running statistics move towards those of a batch.
MOMENTUM = 0.1


class BlockVariables(nn.Module):
    """Parameters and running statistics of one block, or of several equal ones, stacked along a leading axis."""

    channels: int
    kernel: int = 5
    dropout: float = 0.1
    pointwise_kernel: int = 1
    """Side of the square channel-wise kernel."""
    layers: int | None = None
    """Number of blocks that are stacked; None for one alone."""
    compute: ComputeConfig = ComputeConfig()

    def setup(self) -> None:
        """Declare the arrays."""
        stack = () if self.layers is None else (self.layers,)
        per_channel, ones, zeros = (*stack, self.channels), nn.initializers.ones, nn.initializers.zeros
        side, depthwise = self.pointwise_kernel, uniform_by_fan_in(self.kernel**2)
        sides = () if side == 1 else (side, side)
        pointwise = uniform_by_fan_in(self.channels * side**2)
        self.parameters = BlockParameters(
            self.param("depthwise_kernel", depthwise, (*stack, self.kernel, self.kernel, self.channels)),
            self.param("depthwise_bias", depthwise, per_channel),
            self.param("inner_norm_scale", ones, per_channel),
            self.param("inner_norm_bias", zeros, per_channel),
            self.param("pointwise_kernel", pointwise, (*stack, *sides, self.channels, self.channels)),
            self.param("pointwise_bias", pointwise, per_channel),
            self.param("outer_norm_scale", ones, per_channel),
            self.param("outer_norm_bias", zeros, per_channel),
        )
        dtype = self.parameters.depthwise_bias_C.dtype
        fills = {
            "inner_norm_mean": jnp.zeros,
            "inner_norm_var": jnp.ones,
            "outer_norm_mean": jnp.zeros,
            "outer_norm_var": jnp.ones,
        }
        self.running = [self.variable("batch_stats", name, fill, per_channel, dtype) for name, fill in fills.items()]

    def running_moments(self) -> BlockMoments:
        """Return what evaluation normalises by."""
        return BlockMoments(*(variable.value for variable in self.running))

    def track(self, moments: BlockMoments, count: int) -> None:
        """Move the running statistics towards a batch's mean and *unbiased* variance, as PyTorch does.

        The moments that are given, which this device took over `count` positions, have biased variances.
        """
        if self.is_initializing():
            return
        count *= shares()
        unbiased = count / max(count - 1, 1)
        batch = moments._replace(inner_var_C=moments.inner_var_C * unbiased, outer_var_C=moments.outer_var_C * unbiased)
        for variable, value in zip(self.running, batch, strict=True):
            variable.value += MOMENTUM * (jax.lax.stop_gradient(value) - variable.value)

    def kept(self, batch: int) -> jax.Array | None:
        """Draw the dropout: what it multiplies each channel of each sequence by, 0 or 1 / (1 - rate).

        It is drawn for all sequences of the batch, also where devices share it.
        """
        if self.dropout == 0:
            return None
        stack = () if self.layers is None else (self.layers,)
        keep = 1 - self.dropout
        shape = (*stack, batch * shares(), self.channels)
        kept = own_part(drawn(self.make_rng("dropout"), keep, shape), axis=len(stack))
        return kept.astype(self.parameters.depthwise_bias_C.dtype) / keep


class DwsBlock(BlockVariables):
    """Depthwise convolution → LeakyReLU → BatchNorm → pointwise → ReLU → BatchNorm → max-pool → channel dropout."""

    pool: int = 1
    """Neighbouring frequencies of which the largest is kept; 1 for no pooling."""

    def __call__(self, x_BTWC: LazyArray, train: bool) -> jax.Array | Normalised:
        """Map (batch, T, W, C_in) to (batch, T, W // pool, channels). An input of one channel is spread over all.

        In training the fast form leaves its last normalisation to whoever reads the output (`Normalised.array`).
        """
        if not train:
            return evaluate_block(self.parameters, x_BTWC, self.running_moments(), self.compute, pool=self.pool)
        kept_BC = self.kept(x_BTWC.shape[0])
        y_BTWC, moments = train_block(self.parameters, x_BTWC, kept_BC, self.compute, pool=self.pool)
        self.track(moments, math.prod(x_BTWC.shape[:3]))
        return y_BTWC


class DwsBlocks(BlockVariables):
    """Equal blocks one after the other, without pooling: run in a loop, or compiled one by one."""

    dilations: tuple[int, ...] = (1,)
    """Frames between the taps of the blocks' depthwise kernels, taken in turn."""
    residual: bool = False
    """Add a block's input to its output."""

    def __call__(self, x_BTWC: jax.Array | Normalised, train: bool) -> jax.Array | Normalised:
        """Map (batch, T, W, channels) to the same shape; see `DwsBlock` for what the output may be."""
        form: dict[str, Any] = {"dilations": self.dilations, "residual": self.residual}
        if not train:
            form["unrolled"] = self.compute.blocks == "unrolled"
            return evaluate_blocks(self.parameters, x_BTWC, self.running_moments(), self.compute, **form)
        kept_LBC = self.kept(x_BTWC.shape[0])
        y_BTWC, moments_L = train_blocks(self.parameters, x_BTWC, kept_LBC, self.compute, **form)
        self.track(moments_L, math.prod(x_BTWC.shape[:3]))
        return y_BTWC


def uniform_by_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """Return PyTorch's default for convolutions: uniform in ±1/sqrt(fan_in), for kernel and bias alike."""
    bound = 1 / math.sqrt(fan_in)

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initializer
