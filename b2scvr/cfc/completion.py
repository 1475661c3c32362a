"""Feature completion: the feature around the damage and that of the corrupted content become one (B2SCVR; BSCVR-P)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from b2scvr.layers.swin import ResidualSwinGroup
from b2scvr.ops.padding import pad_to_multiple


class FeatureCompletion(nn.Module):
    """[feature | corrupted] -> layer norm -> Swin groups -> layer norm -> conv, plus the input -> 1x1 conv.

    drop_path: see ResidualSwinGroup. shifted: what the published weights were trained with: zeros fill the last windows
    before the first norm, and the 1x1 convolution has a padding of 1 of which the lower right is cut off, so that the
    feature moves by one cell down and right, and its first row and column are the bias alone.
    Defaults: the published sizes.
    """

    def __init__(
        self,
        channels: int = 128,
        depths: tuple[int, ...] = (3,),
        heads: int = 4,
        window: int = 5,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        shifted: bool = False,
    ) -> None:
        super().__init__()
        dim = 2 * channels
        self.window = window
        self.shifted = shifted
        self.norm_in = LayerNorm2d(dim)
        self.groups = nn.ModuleList(
            ResidualSwinGroup(dim, d, heads, (window, window), mlp_ratio, drop_path) for d in depths
        )
        self.norm_out = LayerNorm2d(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        self.output_proj = nn.Conv2d(dim, channels, 1, padding=1 if shifted else 0)

    def forward(self, feature: Tensor, corrupted: Tensor) -> Tensor:
        """feature, corrupted: [B, channels, h, w]. Returns as feature."""
        height, width = feature.shape[-2:]
        x = torch.cat((feature, corrupted), 1)
        if self.shifted:
            x = pad_to_multiple(x, self.window, "zeros")
        y = self.norm_in(x)
        for group in self.groups:
            y = group(y)
        return self.output_proj(self.conv_after_body(self.norm_out(y)) + x)[..., :height, :width]
