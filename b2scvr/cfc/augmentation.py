"""Hierarchical augmentation (HA): the corrupted content's feature enriched by an image trunk (B2SCVR paper, HA)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.ops.padding import pad_to_multiple

STRETCHED_MULTIPLE = 32  # cells; the published network's


class MaskedCrossAttention(nn.Module):
    """The corrupted feature looks at the trunk's; the answer counts inside the mask only.

    Queries, keys and values are taken on a grid `reduction` times coarser. Context and mask are averaged on that grid;
    stretched: they are resized bilinearly instead, the context to the feature's size first (the published way).
    """

    def __init__(self, dim: int, context_dim: int, heads: int = 4, reduction: int = 2, stretched: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        self.heads = heads
        self.reduction = reduction
        self.stretched = stretched
        self.q_proj = nn.Conv2d(dim, dim, 1)
        self.k_proj = nn.Conv2d(context_dim, dim, 1)
        self.v_proj = nn.Conv2d(context_dim, dim, 1)
        self.out_proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """x: [B, dim, h, w]; context: [B, context_dim, *, *], the same picture; mask: [B, 1, *, *]. Returns as x."""
        height, width = x.shape[-2:]
        size = (max(height // self.reduction, 1), max(width // self.reduction, 1))
        if self.stretched:
            cell = (min(self.reduction, height), min(self.reduction, width))
            coarse = F.avg_pool2d(x, cell)
            pooled = F.avg_pool2d(F.interpolate(context, (height, width), mode="bilinear"), cell)
            inside = F.interpolate(mask, size, mode="bilinear")
        else:
            coarse, pooled, inside = (F.adaptive_avg_pool2d(grid, size) for grid in (x, context, mask))
        q, k, v = (self._heads(y) for y in (self.q_proj(coarse), self.k_proj(pooled), self.v_proj(pooled)))
        out = F.scaled_dot_product_attention(q, k, v)
        out = self.out_proj(out.transpose(2, 3).reshape(len(x), -1, *size)) * inside
        return F.interpolate(out, (height, width), mode="bilinear", align_corners=False)

    def _heads(self, x: Tensor) -> Tensor:
        """[B, dim, h, w] -> [B, heads, h * w, dim / heads]."""
        return x.reshape(len(x), self.heads, -1, x.shape[-2] * x.shape[-1]).transpose(2, 3)


class HierarchicalAugmentation(nn.Module):
    """A U-shape over the corrupted feature; each level adds what it finds in one scale of the trunk.

        x -> enc 1 + attn(trunk 1) -> enc 2 (half size) + attn(trunk 2) -> ... -> dec ... + skip -> dec 1 * scale + x

    dims: widths of the levels; trunk_channels: channels of the trunk's scales, as many as levels, finest first;
    reductions: pooling of each level's attention. Defaults: the published sizes, with Hiera-tiny as the trunk.
    carry: what a level found goes on to the next coarser one too, and not to the way back up only (as published).
    stretched: what the published weights were trained with: zeros fill the feature to multiples of STRETCHED_MULTIPLE,
    and trunk and mask are stretched over the filling too, so that they lie up to a sixth of the width off their places.
    """

    def __init__(
        self,
        channels: int = 128,
        trunk_channels: Sequence[int] = (96, 192, 384, 768),
        dims: Sequence[int] = (96, 192, 384, 768),
        reductions: Sequence[int] = (2, 4, 8, 8),
        heads: int = 4,
        carry: bool = True,
        stretched: bool = False,
    ) -> None:
        super().__init__()
        if not len(trunk_channels) == len(dims) == len(reductions):
            raise ValueError(f"levels differ: trunk {trunk_channels}, dims {dims}, reductions {reductions}")
        widths = (channels, *dims)
        levels = range(len(dims))
        self.carry = carry
        self.stretched = stretched
        self.enc = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 3, 2 if i else 1, 1) for i in levels)
        self.attn = nn.ModuleList(
            MaskedCrossAttention(dims[i], trunk_channels[i], heads, reductions[i], stretched) for i in levels
        )
        self.dec = nn.ModuleList(nn.ConvTranspose2d(dims[i], dims[i - 1], 3, 2, 1, 1) for i in levels[:0:-1])
        self.out = nn.Conv2d(dims[0], channels, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, trunk: Sequence[Tensor], mask: Tensor) -> Tensor:
        """x: [B, channels, h, w]; trunk: one map a level, finest first; mask: [B, 1, H, W]. Returns as x.

        All maps cover the same picture, at any resolution of their own.
        """
        height, width = x.shape[-2:]
        multiple, mode = (STRETCHED_MULTIPLE, "zeros") if self.stretched else (2 ** (len(self.enc) - 1), "replicate")
        y = pad_to_multiple(x, multiple, mode)
        skips = []
        for enc, attn, scale in zip(self.enc, self.attn, trunk, strict=True):
            y = F.relu(enc(y))
            skips.append(y + attn(y, scale, mask))
            if self.carry:
                y = skips[-1]
        y = skips[-1]
        for dec, skip in zip(self.dec, skips[-2::-1], strict=True):
            y = F.relu(dec(y) + skip)
        return x + self.scale * self.out(y)[..., :height, :width]
