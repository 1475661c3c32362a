"""Feature completion: the feature around the damage and that of the corrupted content become one (B2SCVR; BSCVR-P)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from b2scvr.layers.swin import ResidualSwinGroup


class FeatureCompletion(nn.Module):
    """[feature | corrupted] -> layer norm -> Swin groups -> layer norm -> conv, plus the input -> 1x1 conv.

    Defaults: the published sizes.
    """

    def __init__(
        self,
        channels: int = 128,
        depths: tuple[int, ...] = (3,),
        heads: int = 4,
        window: int = 5,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        dim = 2 * channels
        self.norm_in = nn.LayerNorm(dim)
        self.groups = nn.ModuleList(ResidualSwinGroup(dim, d, heads, (window, window), mlp_ratio) for d in depths)
        self.norm_out = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.output_proj = nn.Conv2d(dim, channels, 1)

    def forward(self, feature: Tensor, corrupted: Tensor) -> Tensor:
        """feature, corrupted: [B, channels, h, w]. Returns as feature."""
        x = torch.cat((feature, corrupted), 1)
        y = _normalise(self.norm_in, x)
        for group in self.groups:
            y = group(y)
        return self.output_proj(self.conv_after_body(_normalise(self.norm_out, y)) + x)


def _normalise(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer norm over the channels of [B, C, h, w]."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
