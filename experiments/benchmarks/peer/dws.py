"""The depthwise-separable convolutional masker (sec. II-B of the DWS paper). Arrays are (batch, channels, T, W)."""

import torch
from torch import nn

from experiments.benchmarks.peer.mad import MaskLayer, middle_frames
from madsep_jax.config.maskers import DwsMaskerConfig

_POOL = 5

_REDUCED_CHANNELS = 8


class DwsConv(nn.Module):
    """Depthwise convolution → LeakyReLU → BatchNorm → pointwise convolution."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.depth_wise_conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, groups=channels_in)
        self.activation = nn.LeakyReLU(0.01)
        self.batch_norm = nn.BatchNorm2d(channels)
        self.point_wise = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCTW: torch.Tensor) -> torch.Tensor:
        """Keep the size."""
        return self.point_wise(self.batch_norm(self.activation(self.depth_wise_conv(x_BCTW))))


class DwsBlock(nn.Module):
    """`DwsConv` → ReLU → BatchNorm → max-pool over frequency → channel dropout."""

    def __init__(self, channels_in: int, config: DwsMaskerConfig, pool: int = 1) -> None:
        super().__init__()
        layers = [DwsConv(channels_in, config.channels, config.kernel), nn.ReLU(), nn.BatchNorm2d(config.channels)]
        layers += [nn.MaxPool2d((1, pool))] if pool > 1 else []
        self.layer_1 = nn.Sequential(*layers, nn.Dropout2d(config.dropout))

    def forward(self, x_BCTW: torch.Tensor) -> torch.Tensor:
        """Map W to W // pool."""
        return self.layer_1(x_BCTW)


class Residual(nn.Module):
    """Add a block's input to its output."""

    def __init__(self, block: DwsBlock) -> None:
        super().__init__()
        self.layer = block

    def forward(self, x_BCTW: torch.Tensor) -> torch.Tensor:
        """Keep the size."""
        return x_BCTW + self.layer(x_BCTW)


class DwsMasker(nn.Module):
    """Encoder of 1 + L_enc blocks, upsampling, two decoder blocks, channel reduction, mask layer."""

    def __init__(self, config: DwsMaskerConfig, bins: int, context_frames: int) -> None:
        super().__init__()
        self.context_frames = context_frames
        self.whole_input = config.input_frames == "all"
        channels = config.channels
        self.cnn_enc = DwsBlock(1, config, _POOL)
        blocks = [DwsBlock(channels, config) for _ in range(config.layers)]
        self.latent_conv = nn.Sequential(*(Residual(block) if config.residual else block for block in blocks))
        self.upsamp = nn.ConvTranspose2d(channels, channels, (1, 2), stride=(1, 2), padding=(0, 2))
        self.cnn_dec = DwsBlock(channels, config, _POOL)
        self.cnn_dec2 = DwsBlock(channels, config, _POOL)
        self.channel_reduce = nn.Conv2d(channels, _REDUCED_CHANNELS, 1, bias=False)
        width = (2 * (bins // _POOL) - 4) // _POOL // _POOL
        self.fnn = MaskLayer(_REDUCED_CHANNELS * width, bins)

    def forward(self, mag_BSF: torch.Tensor) -> torch.Tensor:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF."""
        x_BSF = mag_BSF if self.whole_input else middle_frames(mag_BSF, self.context_frames)
        h_BCTW = self.latent_conv(self.cnn_enc(x_BSF[:, None]))
        h_BCTW = self.channel_reduce(self.cnn_dec2(self.cnn_dec(self.upsamp(h_BCTW))))
        features_BTD = h_BCTW.transpose(1, 2).flatten(2)  # channel, then frequency
        return self.fnn(middle_frames(features_BTD, self.context_frames) if self.whole_input else features_BTD)
