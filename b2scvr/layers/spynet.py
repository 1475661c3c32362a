"""Optical flow through a spatial pyramid (Ranjan and Black, SPyNet, CVPR 2017), as the recovery networks use it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.ops.normalise import IMAGENET, normalise
from b2scvr.ops.warp import warp

START_LEVELS = 2  # the finest ones: the vectors of a bitstream are known at half of the resolution of the features


class FlowCorrection(nn.Sequential):
    """[first | second, warped back | flow so far], 8 channels -> what the flow lacks, 2 channels: 7x7 convolutions."""

    def __init__(self, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((8, *widths, 2)):
            layers += [nn.Conv2d(before, after, 7, padding=3), nn.ReLU(inplace=True)]
        super().__init__(*layers[:-1])


class SPyNet(nn.Module):
    """Two pictures -> the flow from the first into the second.

        coarsest level: flow = 0;  each level: flow = 2 x upsampled flow + correction(first, second along flow, flow)

    widths: hidden channels of each correction; levels: of the pyramid, each half the size of the one below. The
    defaults are the published sizes. Pictures are enlarged to multiples of 2 ** (levels - 1) inside.

    Where the flow is known beforehand, it takes the place of what the coarse levels found; START_LEVELS levels refine it.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 32, 16), levels: int = 6) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"a pyramid has at least one level, got {levels}")
        self.multiple = 2 ** (levels - 1)
        self.levels = nn.ModuleList(FlowCorrection(widths) for _ in range(levels))  # coarsest first

    def forward(
        self, first: Tensor, second: Tensor, known: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """first, second: [B, 3, H, W] in [0, 1], any size. Returns the flow [B, 2, H, W], (x, y) pixels.

        second(p + flow(p)) looks like first(p). known: [B, 2, H, W], a flow to refine where `valid` [B, 1, H, W] is 1
        (default: everywhere). Raises ValueError when the sizes differ.
        """
        if first.shape != second.shape:
            raise ValueError(f"pictures of {list(first.shape)} and {list(second.shape)} have no flow between them")
        height, width = first.shape[-2:]
        size = (-(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple)
        pyramids = [self._pyramid(F.interpolate(x, size, mode="bilinear")) for x in (first, second)]
        flow = first.new_zeros(len(first), 2, size[0] // self.multiple, size[1] // self.multiple)
        start = max(len(self.levels) - START_LEVELS, 0)
        for level, (correction, here, there) in enumerate(zip(self.levels, *pyramids, strict=True)):
            if flow.shape[-2:] != here.shape[-2:]:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            if known is not None and level == start:
                flow = _replaced(flow, known, torch.ones_like(known[:, :1]) if valid is None else valid)
            flow = flow + correction(torch.cat((here, warp(there, flow, "border"), flow), 1))
        flow = F.interpolate(flow, (height, width), mode="bilinear")
        return flow * flow.new_tensor((width / size[1], height / size[0])).view(1, 2, 1, 1)

    def _pyramid(self, pictures: Tensor) -> list[Tensor]:
        """Return the normalised pictures of each level, coarsest first."""
        levels = [normalise(pictures, IMAGENET)]
        for _ in self.levels[1:]:
            levels.append(F.avg_pool2d(levels[-1], 2))
        return levels[::-1]


def _replaced(flow: Tensor, known: Tensor, valid: Tensor) -> Tensor:
    """Return `flow` [B, 2, h, w] with `known` [B, 2, H, W] in the cells that it covers at least by half."""
    size = (flow.shape[-2], flow.shape[-1])
    share = F.interpolate(valid.to(known.dtype), size, mode="area")
    mean = F.interpolate(known * valid, size, mode="area") / share.clamp(min=1e-6)
    scale = mean.new_tensor((size[1] / known.shape[-1], size[0] / known.shape[-2])).view(1, 2, 1, 1)
    return torch.where(share >= 0.5, (mean * scale).to(flow.dtype), flow)
