"""What the systems share."""

import torch
from torch import nn


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
