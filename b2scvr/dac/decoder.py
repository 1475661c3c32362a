"""What sees single pixels and single macroblocks: the comparison at full resolution and the two output heads.

SAM looks at a small square picture. Garbage, though, shows best where the decoded picture disagrees with what it should
be about: the classical fill and the nearest intact picture, at full resolution and in step with the macroblock grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from b2scvr.ops.change_point import RasterSlices

NOTICED_UNIT = 128.0  # macroblocks; about how long a decoder reads garbage before it notices (median of 17 pictures)
PLACE_CHANNELS, POSITION_CHANNELS = 2, 4  # of raster_position without and with concealment
PRIOR_LOGIT = -2.0  # of a macroblock before anything is learned: damage is rare


class Comparison(nn.Module):
    """Decoded picture, fill and nearest picture -> features at a quarter of the resolution and on the macroblock grid.

    Inputs: decoded, nearest, and with the fill the fill and |decoded - fill|, without it |decoded - nearest|.
    """

    def __init__(self, use_fill: bool, width: int, quarter_dim: int, dim: int) -> None:
        super().__init__()
        self.use_fill = use_fill
        self.stem = nn.Conv2d(12 if use_fill else 9, width, 3, stride=2, padding=1)
        self.reduce = nn.Conv2d(width, quarter_dim, 3, stride=2, padding=1)
        self.quarter = ResidualConv(quarter_dim)
        self.eighth = nn.Conv2d(quarter_dim, dim, 3, stride=2, padding=1)
        self.macroblock = nn.Conv2d(dim, dim, 3, stride=2, padding=1)

    def forward(self, decoded: Tensor, fill: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures [B, 3, 16h, 16w] in [0, 1]. Returns [B, quarter_dim, 4h, 4w] and [B, dim, h, w]."""
        other = fill if self.use_fill else nearest
        pictures = [decoded, nearest, fill] if self.use_fill else [decoded, nearest]
        inputs = [4 * picture - 2 for picture in pictures]  # about unit variance
        x = torch.cat((*inputs, 4 * (decoded - other).abs()), 1)
        x = F.gelu(self.reduce(F.gelu(self.stem(x))))
        quarter = self.quarter(x)
        return quarter, F.gelu(self.macroblock(F.gelu(self.eighth(quarter))))


class ResidualConv(nn.Module):
    """x + conv(gelu(conv(norm(x)))), 3x3; the norm is over the channels of a position, so places don't mix."""

    def __init__(self, dim: int, dilation: int = 1) -> None:
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] -> the same."""
        return x + self.conv2(F.gelu(self.conv1(self.norm(x))))


class MacroblockHead(nn.Module):
    """Maps on the macroblock grid and the raster position -> features and the logit that a macroblock is wrong."""

    def __init__(
        self, in_channels: int, dim: int, dilations: Sequence[int], position_channels: int = POSITION_CHANNELS
    ) -> None:
        super().__init__()
        self.position_channels = position_channels
        self.mix = nn.Conv2d(in_channels + position_channels, dim, 1)
        self.body = nn.Sequential(*(ResidualConv(dim, dilation) for dilation in dilations))
        self.logit = nn.Conv2d(dim, 1, 1)
        nn.init.constant_(self.logit.bias, PRIOR_LOGIT)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor], position: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, c, h, w], in_channels in all; position: `raster_position`. Returns [B, dim, h, w] and logits [B, h, w]."""
        features = self.body(F.gelu(self.mix(torch.cat((*maps, position[:, : self.position_channels]), 1))))
        return features, self.logit(features)[:, 0]


class PixelHead(nn.Module):
    """Quarter-resolution features and those of the macroblocks -> a mask logit at a quarter of the resolution."""

    def __init__(self, quarter_dim: int, macroblock_dim: int) -> None:
        super().__init__()
        self.macroblock = nn.Conv2d(macroblock_dim, quarter_dim, 1)
        self.conv = ResidualConv(quarter_dim)
        self.logit = nn.Conv2d(quarter_dim, 1, 1)

    def forward(self, quarter: Tensor, macroblock: Tensor) -> Tensor:
        """quarter: [B, quarter_dim, 4h, 4w]; macroblock: [B, macroblock_dim, h, w]. Returns [B, 1, 4h, 4w]."""
        around = F.interpolate(self.macroblock(macroblock), scale_factor=4, mode="nearest")
        return self.logit(self.conv(quarter + around))


def raster_position(slice_start: Tensor, concealed: Tensor) -> Tensor:
    """Return where each macroblock lies, [B, 4, h, w]: row and column in [-1, 1], and two maps along its slice.

    The third is tanh of the macroblocks until the first concealed one of the slice (negative behind it) in units of 128,
    the fourth 1 in slices that hold a concealed macroblock; both are 0 elsewhere. The cut comes some way before the
    concealment, so this is where to look for it.
    """
    batch, height, width = concealed.shape
    slices = RasterSlices.from_maps(slice_start, concealed)
    index = torch.arange(height * width, device=concealed.device, dtype=torch.float32).expand(batch, -1)
    noticed = slices.sum(index * slices.first_of(slices.concealed)).gather(1, slices.index)
    any_concealed = (slices.sum(slices.concealed.float()) > 0).float().gather(1, slices.index)
    ahead = torch.tanh((noticed - index) / NOTICED_UNIT) * any_concealed
    rows = torch.linspace(-1, 1, height, device=concealed.device)[:, None].expand(batch, height, width)
    columns = torch.linspace(-1, 1, width, device=concealed.device).expand(batch, height, width)
    return torch.stack((rows, columns, ahead.reshape(concealed.shape), any_concealed.reshape(concealed.shape)), 1)
