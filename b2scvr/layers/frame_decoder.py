"""Features -> pictures of four times their size (Li et al., E2FGVI, 2022)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.layers.frame_encoder import LEAK


class FrameDecoder(nn.Module):
    """Features -> twice the size, conv -> conv -> twice the size, conv -> conv -> picture, without a last non-linearity.

    channels: of the features; width: of the layers behind the first two. E2FGVI's own values are the defaults.
    """

    def __init__(self, channels: int = 128, width: int = 64, out_channels: int = 3) -> None:
        super().__init__()
        self.up1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.up2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, out_channels, 4h, 4w]."""
        x = F.leaky_relu(self.up1(_double(features)), LEAK, inplace=True)
        x = F.leaky_relu(self.conv1(x), LEAK, inplace=True)
        x = F.leaky_relu(self.up2(_double(x)), LEAK, inplace=True)
        return self.conv2(x)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
