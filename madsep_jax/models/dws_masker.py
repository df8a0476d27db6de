"""The depthwise-separable convolutional masker (sec. II-B of the DWS paper)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from madsep_jax.config.maskers import DwsMaskerConfig
from madsep_jax.config.run import ComputeConfig
from madsep_jax.models.architecture import Architecture
from madsep_jax.models.denoiser import dense
from madsep_jax.models.depthwise import DwsBlock, DwsBlocks, uniform_by_fan_in
from madsep_jax.ops.choice import target_of
from madsep_jax.ops.dws.lazy import Normalised, Upsampled, as_array
from madsep_jax.signal.framing import middle_frames

_POOL = 5
_REDUCED_CHANNELS = 8


class DwsMasker(nn.Module):
    """Encoder of 1 + L_enc blocks, upsampling, two decoder blocks, channel reduction, mask layer."""

    config: DwsMaskerConfig
    context_frames: int
    compute: ComputeConfig = ComputeConfig()

    last_layer = ("mask_layer",)

    @nn.compact
    def __call__(self, mag_BSF: jax.Array, train: bool = False) -> jax.Array:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF."""
        config = self.config
        whole_input = config.input_frames == "all"
        x_BTWC = (mag_BSF if whole_input else middle_frames(mag_BSF, self.context_frames))[..., None]
        h_BTWC = DwsBlock(**self.block, pool=_POOL, name="encoder_in")(x_BTWC, train)
        if config.layers:
            encoder = DwsBlocks(
                **self.block,
                layers=config.layers,
                pointwise_kernel=config.pointwise_kernel,
                dilations=config.dilations,
                residual=config.residual,
                name="encoder",
            )
            h_BTWC = encoder(h_BTWC, train)
        upsampled = Upsample(name="upsample")(h_BTWC)
        h_BTWC = DwsBlock(**self.block, pool=_POOL, name="decoder_0")(upsampled, train)
        h_BTWC = DwsBlock(**self.block, pool=_POOL, name="decoder_1")(h_BTWC, train)
        uniform = uniform_by_fan_in(config.channels)
        reduce = nn.Dense(_REDUCED_CHANNELS, use_bias=False, kernel_init=uniform, name="channel_reduce")
        h_BTWC = reduce(as_array(h_BTWC))
        if whole_input:
            h_BTWC = middle_frames(h_BTWC, self.context_frames)
        features_BTD = jnp.swapaxes(h_BTWC, 2, 3).reshape(*h_BTWC.shape[:2], -1)  # channel, then frequency
        return nn.relu(dense(mag_BSF.shape[-1], "mask_layer")(features_BTD))

    @property
    def block(self) -> dict[str, Any]:
        """What all blocks have in common."""
        config = self.config
        sizes: dict[str, Any] = {"channels": config.channels, "kernel": config.kernel, "dropout": config.dropout}
        return {**sizes, "compute": self.compute}


class Upsample(nn.Module):
    """Transposed convolution over frequency, kernel 2, stride 2, padding 2: W → 2W - 4, channels kept."""

    @nn.compact
    def __call__(self, x_BTWC: jax.Array | Normalised) -> Upsampled:
        """Map (batch, T, W, C) to (batch, T, 2W - 4, C), which the block after it writes."""
        channels = x_BTWC.shape[-1]
        uniform = uniform_by_fan_in(2 * channels)
        kernel_C2C = self.param("kernel", uniform, (channels, 2, channels))
        return Upsampled(x_BTWC, kernel_C2C, self.param("bias", uniform, (channels,)))


ARCHITECTURE = Architecture(
    DwsMaskerConfig,
    DwsMasker,
    # On a CPU few, so that its arrays are small (dws-5-64 on two cores: real-time factor 0.133 with 40 frames, 0.139
    # with 320).
    frames_at_once={"cpu": 40},
    speed_share=0.20,
    has_fast_form=lambda compute: (
        target_of(compute) == "gpu" or (compute.precision != "bfloat16" and not compute.remat)
    ),
)
