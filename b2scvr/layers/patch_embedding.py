"""Soft split and soft composition: overlapping patches as tokens and back (Liu et al., FuseFormer, 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from b2scvr.ops.patches import PatchGrid


class SoftSplit(nn.Module):
    """Feature map -> tokens: overlapping patches through a linear layer."""

    def __init__(self, channels: int, dim: int, grid: PatchGrid) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Linear(channels * grid.kernel**2, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, rows, columns, dim]."""
        return self.grid.split(x, self.embedding.weight, self.embedding.bias)


class SoftComposition(nn.Module):
    """Tokens -> feature map: a linear layer to overlapping patches, summed up, then a 3x3 convolution."""

    def __init__(self, channels: int, dim: int, grid: PatchGrid) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Linear(dim, channels * grid.kernel**2)
        self.bias_conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, rows, columns, dim] -> [B, channels, h, w] with (h, w) = size."""
        return self.bias_conv(self.grid.compose(tokens, self.embedding.weight, self.embedding.bias, size))
