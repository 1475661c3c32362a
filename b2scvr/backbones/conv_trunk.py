"""A small convolutional image trunk with several scales: the tiny stand-in for Hiera, trained with the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class ConvTrunk(nn.Module):
    """Picture -> maps at strides 4, 8, 16, ...: a 4x4 patch embedding, then a stride-2 and a plain convolution a scale.

    channels: channels of the maps, finest first.
    """

    def __init__(self, channels: Sequence[int] = (16, 32, 48), in_channels: int = 3) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.embed = nn.Conv2d(in_channels, channels[0], 4, 4)
        self.refine = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels)
        self.reduce = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(channels))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[B, in_channels, H, W] in [-1, 1], 4 pixels a side at least -> one [B, channels[i], ~H / 4 / 2^i, ...] a scale."""
        maps = [F.gelu(self.refine[0](F.gelu(self.embed(pictures))))]
        for reduce, refine in zip(self.reduce, self.refine[1:], strict=True):
            maps.append(F.gelu(refine(F.gelu(reduce(maps[-1])))))
        return maps
