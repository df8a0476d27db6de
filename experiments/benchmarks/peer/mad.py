"""MaD's recurrent masker (sec. II-A of the DWS paper), its recurrent inference, and the twin of MaD TwinNet."""

from typing import NamedTuple

import torch
from torch import nn

from madsep_jax.config.maskers import GruMaskerConfig


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


class GruMask(NamedTuple):
    """A mask, and the states that it comes from (H = 2R)."""

    mask_BTF: torch.Tensor
    encoded_BTH: torch.Tensor
    decoded_BTH: torch.Tensor


class GruMasker(nn.Module):
    """Encoder, decoder, with recurrent inference also of its own output, and mask layer."""

    def __init__(self, config: GruMaskerConfig, bins: int, context_frames: int) -> None:
        super().__init__()
        self.iterations, self.tolerance = config.recurrent_iterations, config.recurrent_tolerance
        self.rnn_enc = Encoder(config, context_frames)
        self.rnn_dec = Decoder(2 * config.reduced_bins)
        self.fnn = MaskLayer(2 * config.reduced_bins, bins)

    def forward(self, mag_BSF: torch.Tensor) -> torch.Tensor:
        """Return the mask (batch, T, F) for the middle frames of mag_BSF."""
        return self.mask_and_states(mag_BSF).mask_BTF

    def mask_and_states(self, mag_BSF: torch.Tensor) -> GruMask:
        """Return the mask with the states."""
        encoded_BTH = self.rnn_enc(mag_BSF)
        decoded_BTH = self.rnn_dec(encoded_BTH)
        for _ in range(self.iterations):
            previous_BTH, decoded_BTH = decoded_BTH, self.rnn_dec(decoded_BTH)
            if torch.mean((decoded_BTH - previous_BTH).detach() ** 2) < self.tolerance:
                break
        return GruMask(self.fnn(decoded_BTH), encoded_BTH, decoded_BTH)


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


class Affine(nn.Module):
    """The map from the decoder's states to the twin's."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(hidden, hidden)

    def forward(self, state_BTH: torch.Tensor) -> torch.Tensor:
        """Keep the size."""
        return self.linear_layer(state_BTH)


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
