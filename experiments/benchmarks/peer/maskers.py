"""The maskers (sec. II of the DWS paper): recurrent, with recurrent inference and twin, and depthwise-separable."""

from collections import OrderedDict

import torch
from torch import nn

from madsep_jax.config.maskers import DwsMaskerConfig, GruMaskerConfig

_POOL = 5
_REDUCED_CHANNELS = 8


class Encoder(nn.Module):
    """Bidirectional GRU over the lowest R bins, and the residual (eq. 1 to 4)."""

    def __init__(self, config: GruMaskerConfig, context_frames: int) -> None:
        super().__init__()
        self.reduced_bins, self.context_frames = config.reduced_bins, context_frames
        self.flipped_axes = (1, 2) if config.residual_flip == "time_and_frequency" else (1,)
        self.gru_enc = nn.GRU(config.reduced_bins, config.reduced_bins, batch_first=True, bidirectional=True)

    def forward(self, mag_BSF: torch.Tensor) -> torch.Tensor:
        """Return the states of the middle frames; (batch, T, 2R)."""
        reduced_BSR = mag_BSF[..., : self.reduced_bins]
        flipped_BSR = torch.flip(reduced_BSR, self.flipped_axes)
        return middle_frames(
            self.gru_enc(reduced_BSR)[0] + torch.cat([reduced_BSR, flipped_BSR], dim=-1), self.context_frames
        )


class Decoder(nn.Module):
    """A GRU as wide as its input."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gru_dec = nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        """Keep the size."""
        return self.gru_dec(x_BTH)[0]


class GruMasker(nn.Module):
    """Encoder, decoder, with recurrent inference also of its own output, and mask layer. H = 2R."""

    def __init__(self, config: GruMaskerConfig, bins: int, context_frames: int) -> None:
        super().__init__()
        self.iterations, self.tolerance = config.recurrent_iterations, config.recurrent_tolerance
        self.rnn_enc = Encoder(config, context_frames)
        self.rnn_dec = Decoder(2 * config.reduced_bins)
        self.fnn = MaskLayer(2 * config.reduced_bins, bins)

    def forward(self, mag_BSF: torch.Tensor) -> torch.Tensor:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF."""
        return self.fnn(self.decode(self.rnn_enc(mag_BSF)))

    def decode(self, encoded_BTH: torch.Tensor) -> torch.Tensor:
        """Return the decoder's states from the encoder's."""
        decoded_BTH = self.rnn_dec(encoded_BTH)
        for _ in range(self.iterations):
            previous_BTH, decoded_BTH = decoded_BTH, self.rnn_dec(decoded_BTH)
            if torch.mean((decoded_BTH - previous_BTH).detach() ** 2) < self.tolerance:
                break
        return decoded_BTH


class Twin(nn.Module):
    """A GRU that decodes the encoder's states from the last frame to the first, and a mask layer of its own."""

    def __init__(self, config: GruMaskerConfig, bins: int) -> None:
        super().__init__()
        self.flipped_axes = (1, 2) if config.twin_flip == "time_and_frequency" else (1,)
        self.rnn_dec = Decoder(2 * config.reduced_bins)
        self.fnn = MaskLayer(2 * config.reduced_bins, bins)

    def forward(self, encoded_BTH: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask_BTF and state_BTH."""
        state_BTH = torch.flip(self.rnn_dec(torch.flip(encoded_BTH, self.flipped_axes)), self.flipped_axes)
        return self.fnn(state_BTH), state_BTH


class MaskLayer(nn.Module):
    """Linear layer and ReLU, from features to a mask."""

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(features, bins)

    def forward(self, features_BTD: torch.Tensor) -> torch.Tensor:
        """Return mask_BTF."""
        return torch.relu(self.linear_layer(features_BTD))


class Denoiser(nn.Module):
    """F → F//2 → F, a ReLU after each: a mask for its input (eq. 8 to 10 of the DWS paper)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.fnn_enc = nn.Linear(bins, bins // 2)
        self.fnn_dec = nn.Linear(bins // 2, bins)

    def forward(self, masker_BTF: torch.Tensor) -> torch.Tensor:
        """Return the denoised magnitudes."""
        return masker_BTF * torch.relu(self.fnn_dec(torch.relu(self.fnn_enc(masker_BTF))))


def middle_frames(x_BSD: torch.Tensor, context_frames: int) -> torch.Tensor:
    """Drop the context frames at both ends: (B, S, D) to (B, T, D)."""
    return x_BSD[:, context_frames : x_BSD.shape[1] - context_frames]


def named(**layers: nn.Module) -> nn.Sequential:
    """Return layers one after the other, by names of their own."""
    return nn.Sequential(OrderedDict(layers))


def dws_block(channels_in: int, config: DwsMaskerConfig, pool: int = 1) -> nn.Sequential:
    """Depthwise convolution → LeakyReLU → BatchNorm → pointwise → ReLU → BatchNorm → max-pool over frequency → dropout.

    Arrays are (batch, channels, T, W); W becomes W // pool. The dropout is of whole channels.
    """
    channels, kernel = config.channels, config.kernel
    convolution = named(
        depth_wise_conv=nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, groups=channels_in),
        activation=nn.LeakyReLU(0.01),
        batch_norm=nn.BatchNorm2d(channels),
        point_wise=nn.Conv2d(channels, channels, 1),
    )
    pooling = [nn.MaxPool2d((1, pool))] if pool > 1 else []
    layers = [convolution, nn.ReLU(), nn.BatchNorm2d(channels), *pooling, nn.Dropout2d(config.dropout)]
    return named(layer_1=nn.Sequential(*layers))


class Residual(nn.Module):
    """Add a block's input to its output."""

    def __init__(self, block: nn.Module) -> None:
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
        self.cnn_enc = dws_block(1, config, _POOL)
        blocks = [dws_block(channels, config) for _ in range(config.layers)]
        self.latent_conv = nn.Sequential(*(Residual(block) if config.residual else block for block in blocks))
        self.upsamp = nn.ConvTranspose2d(channels, channels, (1, 2), stride=(1, 2), padding=(0, 2))
        self.cnn_dec = dws_block(channels, config, _POOL)
        self.cnn_dec2 = dws_block(channels, config, _POOL)
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
