"""Pictures -> features of a quarter of their size (Li et al., E2FGVI, 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2  # negative slope of E2FGVI's activations


class FrameEncoder(nn.Module):
    """Picture -> features at a quarter of its size.

        picture -> 4 convolutions, two of stride 2 -> anchor -> conv -> conv([anchor | .]) -> ... -> features

    From the second layer of the tail on, the anchor is concatenated inside each group of a grouped convolution, so
    every group sees the early features.

    stem: widths of the four convolutions, the last is the anchor's; tail: (width, groups) of the layers after it.
    E2FGVI's own values are the defaults.
    """

    def __init__(
        self,
        in_channels: int = 3,
        stem: Sequence[int] = (64, 64, 128, 256),
        tail: Sequence[tuple[int, int]] = ((384, 1), (512, 2), (384, 4), (256, 8), (128, 1)),
    ) -> None:
        super().__init__()
        if len(stem) != 4 or not tail:
            raise ValueError(f"a frame encoder has 4 stem widths and a tail, got {stem} and {tail}")
        widths = (in_channels, *stem)
        self.stem = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, 2 - i % 2, 1) for i in range(4))
        self.tail = nn.ModuleList()
        self.groups = tuple(groups for _, groups in tail)
        width = 0
        for out_width, groups in tail:
            self.tail.append(nn.Conv2d(stem[-1] + width, out_width, 3, padding=1, groups=groups))
            width = out_width
        self.out_channels = width

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, in_channels, H, W], H and W multiples of 4 -> [B, out_channels, H / 4, W / 4]."""
        x = pictures
        for layer in self.stem:
            x = F.leaky_relu(layer(x), LEAK, inplace=True)
        anchor, x = x, F.leaky_relu(self.tail[0](x), LEAK, inplace=True)
        for layer, groups in zip(self.tail[1:], self.groups[1:], strict=True):
            x = F.leaky_relu(layer(concatenate_groups(anchor, x, groups)), LEAK, inplace=True)
        return x


def concatenate_groups(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """[B, C1, h, w], [B, C2, h, w] -> [B, C1 + C2, h, w]: concatenated inside each of `groups` groups of channels."""
    if groups == 1:
        return torch.cat((first, second), 1)
    pairs = zip(first.chunk(groups, 1), second.chunk(groups, 1), strict=True)
    return torch.cat([part for pair in pairs for part in pair], 1)
