"""A small convolutional image embedder, trained from scratch: stand-in for DINOv2 and CLIP in small configurations."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ConvEmbedder(nn.Module):
    """Convolutions of stride 2 -> average pooling to a fixed grid of tokens -> linear and layer norm.

    widths: channels of the convolutions, each halving the size; grid: (rows, columns) of the tokens, the same for
    every input size. The global embedding is a projection of the mean token; global_embedding=False leaves it out of
    the network (the mean token is returned in its place), so that no weight is untrained where only tokens are read.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        widths: Sequence[int] = (16, 32),
        grid: tuple[int, int] = (4, 6),
        global_embedding: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.grid = (grid[0], grid[1])
        layers: list[nn.Module] = []
        before = in_channels
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GELU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.proj = nn.Linear(before, dim)
        self.norm = nn.LayerNorm(dim)
        self.head: nn.Module = nn.Linear(dim, dim) if global_embedding else nn.Identity()

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, in_channels, H, W], any size. Returns tokens [B, rows * columns, dim] and one [B, dim]."""
        pooled = F.adaptive_avg_pool2d(self.body(maps), self.grid)
        tokens = self.norm(self.proj(pooled.flatten(2).transpose(1, 2)))
        return tokens, self.head(tokens.mean(1))
