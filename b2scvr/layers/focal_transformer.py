"""Temporal focal transformer (Li et al., E2FGVI, 2022, section 3.3; Yang et al., Focal Transformer, 2021).

Legend: B batch, Q pictures asked for, M other pictures, rows x columns tokens a picture, dim channels of a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.layers.patch_embedding import SoftComposition, SoftSplit
from b2scvr.ops.padding import pad_to_multiple
from b2scvr.ops.patches import PatchGrid
from b2scvr.ops.recompute import recomputed
from b2scvr.ops.windows import gather_index, merge_windows, partition_windows, rolled_positions

DISTANCE_UNIT = 8.0  # pictures; half a GOP of 16 becomes 1


class FocalWindowAttention(nn.Module):
    """Attention of each window to itself, to its rim, and to pooled windows around it, over all pictures.

    Keys of a window, from each picture: its own tokens, the tokens that four diagonal shifts of the window add, and
    one pooled token of each window of the focal neighbourhood. Fine and pooled tokens share their projections.

    wrap: the rim at a border comes from the other side of the picture (the published roll) instead of being left out.
    """

    def __init__(
        self,
        dim: int = 512,
        heads: int = 4,
        window: tuple[int, int] = (5, 9),
        expand: tuple[int, int] = (2, 4),
        focal_window: tuple[int, int] = (5, 9),
        wrap: bool = False,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} does not split into {heads} heads")
        self.heads = heads
        self.window = window
        self.wrap = wrap
        self.fine_positions = rolled_positions(window, expand)
        self.pooled_positions = [
            (row - focal_window[0] // 2, column - focal_window[1] // 2)
            for row in range(focal_window[0])
            for column in range(focal_window[1])
        ]
        self.pool = nn.Linear(window[0] * window[1], 1)
        nn.init.constant_(self.pool.weight, 1 / (window[0] * window[1]))  # starts as the mean
        nn.init.zeros_(self.pool.bias)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """query: [B, Q, rows, columns, dim]; context: [B, M, rows, columns, dim], the keys. Returns as query."""
        batch, asked, height, width, dim = query.shape
        padded = pad_to_multiple(query.flatten(0, 1).permute(0, 3, 1, 2), self.window, "zeros").permute(0, 2, 3, 1)
        windows = partition_windows(F.linear(padded, self.qkv.weight[:dim], self.qkv.bias[:dim]), self.window)
        windows = windows.unflatten(0, (batch, asked)).unbind(2)
        tokens = torch.cat((context.flatten(2, 3), self._pooled(context)), 2)
        kv = F.linear(tokens, self.qkv.weight[dim:], self.qkv.bias[dim:])
        # Window by window: each gathers the keys that it has, so that none is masked, and the keys of one are in memory.
        places = self._places((height, width), kv.shape[1], kv.shape[2], kv.device)
        out = torch.stack([self._attended(q, kv.flatten(1, 2), at) for q, at in zip(windows, places, strict=True)], 2)
        out = merge_windows(out.flatten(0, 1), self.window, (*padded.shape[1:3],))
        return self.proj(out[:, :height, :width]).reshape(batch, asked, height, width, dim)

    def _attended(self, query: Tensor, kv: Tensor, places: Tensor) -> Tensor:
        """query: [B, Q, p * q, dim] of one window; kv: [B, tokens, 2 * dim]; places: its keys' among them. As query."""
        q = query.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = kv.index_select(1, places).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(query.shape)

    def _places(self, size: tuple[int, int], pictures: int, tokens: int, device: torch.device) -> Sequence[Tensor]:
        """Return where the keys of each window are among the tokens of all pictures, `tokens` each: fine, then pooled."""
        grid = (-(-size[0] // self.window[0]), -(-size[1] // self.window[1]))
        fine, fine_valid = gather_index(size, self.window, self.fine_positions, self.wrap)
        pooled, pooled_valid = gather_index(grid, (1, 1), self.pooled_positions)
        index = torch.cat((fine, pooled + size[0] * size[1]), 1)
        valid = torch.cat((fine_valid, pooled_valid), 1)
        start = tokens * torch.arange(pictures)[:, None]
        places = [(start + index[n, valid[n]]).flatten() for n in range(len(index))]
        return torch.cat(places).to(device).split([len(place) for place in places])

    def _pooled(self, context: Tensor) -> Tensor:
        """Return one token a window: [B, M, rows, columns, dim] -> [B, M, windows, dim]."""
        x = pad_to_multiple(context.flatten(0, 1).permute(0, 3, 1, 2), self.window, "replicate").permute(0, 2, 3, 1)
        pooled = self.pool(partition_windows(x, self.window).transpose(2, 3)).squeeze(-1)
        return pooled.reshape(context.shape[0], context.shape[1], -1, context.shape[-1])


class FusionFeedForward(nn.Module):
    """F3N: an MLP whose hidden tokens meet in the overlaps of their patches (FuseFormer, 2021)."""

    def __init__(self, dim: int, channels: int, grid: PatchGrid) -> None:
        super().__init__()
        self.grid = grid
        self.conv1 = nn.Linear(dim, channels * grid.kernel**2)
        self.conv2 = nn.Linear(channels * grid.kernel**2, dim)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """tokens: [B, rows, columns, dim], patches of a map of `size` (h, w). Returns as tokens."""
        hidden = self.grid.compose(tokens, self.conv1.weight, self.conv1.bias, size)
        # What stands in every patch passes GELU once: it acts on each value alone and leaves the padding zero.
        hidden = F.gelu(hidden / self.grid.coverage(size, hidden))
        return self.grid.split(hidden, self.conv2.weight, self.conv2.bias)


class TemporalFocalBlock(nn.Module):
    """x + focal window attention, then + F3N, both behind a layer norm.

    The pictures asked for are updated, the others are looked at. ffn_channels: channels of F3N's hidden map (40 in the
    published size); the rest as in FocalWindowAttention.
    """

    def __init__(
        self,
        dim: int = 512,
        heads: int = 4,
        window: tuple[int, int] = (5, 9),
        expand: tuple[int, int] = (2, 4),
        focal_window: tuple[int, int] = (5, 9),
        ffn_channels: int = 40,
        grid: PatchGrid | None = None,
        wrap: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = FocalWindowAttention(dim, heads, window, expand, focal_window, wrap)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FusionFeedForward(dim, ffn_channels, grid or PatchGrid())

    def forward(self, query: Tensor, others: Tensor | None, size: tuple[int, int]) -> Tensor:
        """query: [B, Q, rows, columns, dim]; others: [B, M, rows, columns, dim] or None; size: (h, w) of the map."""
        normed = self.norm1(query)
        context = normed if others is None else torch.cat((normed, self.norm1(others)), 1)
        x = query + self.attn(normed, context)
        return x + self.mlp(self.norm2(x).flatten(0, 1), size).reshape(x.shape)


class TemporalFocalTransformer(nn.Module):
    """Feature maps of the pictures asked for -> the same after looking at one another and at the other pictures.

        soft split -> tokens (+ a linear embedding of how far away the picture is) -> blocks -> soft composition, + input

    dim: channels of a token; depth: blocks; time_embedding: tell the blocks each other picture's distance (not in the
    published network); recompute: activation checkpointing of each block; the rest as in TemporalFocalBlock. Sizes of the
    patches as published.
    """

    def __init__(
        self,
        channels: int = 128,
        dim: int = 512,
        depth: int = 8,
        time_embedding: bool = True,
        window: tuple[int, int] = (5, 9),
        recompute: bool = False,
        **block: Any,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        grid = PatchGrid()
        self.grid = grid
        self.window = window
        self.split = SoftSplit(channels, dim, grid)
        self.time = nn.Linear(2, dim) if time_embedding else None
        self.blocks = nn.ModuleList(TemporalFocalBlock(dim, window=window, grid=grid, **block) for _ in range(depth))
        self.compose = SoftComposition(channels, dim, grid)

    def forward(
        self,
        features: Tensor,
        others: Tensor | None = None,
        distance: Tensor | None = None,
        wanted: Sequence[int] | None = None,
    ) -> Tensor:
        """Return `features` updated, or those of them at the places `wanted`, which the last block asks for alone.

        features: [B, Q, C, h, w], asked for; others: [B, M, C, h, w], looked at, M may be 0; distance: [B, M, 1]
        pictures from what is asked for to the others, needed with a time embedding.
        """
        batch, asked = features.shape[:2]
        size = (features.shape[-2], features.shape[-1])
        pictures = features if others is None else torch.cat((features, others), 1)
        tokens = self.split(pictures.flatten(0, 1)).unflatten(0, (batch, -1))
        query, context = tokens[:, :asked], tokens[:, asked:]
        if self.time is not None and others is not None:
            if distance is None:
                raise ValueError("a transformer with a time embedding needs the distance of the other pictures")
            when = torch.cat((distance, distance.abs()), -1) / DISTANCE_UNIT
            context = context + self.time(when)[:, :, None, None]
        for block in self.blocks:
            if wanted is not None and block is self.blocks[-1]:
                rest = [place for place in range(asked) if place not in wanted]
                context = torch.cat((query[:, rest], context), 1)
                query, features, asked = query[:, list(wanted)], features[:, list(wanted)], len(wanted)
            seen = context if context.shape[1] else None
            query = recomputed(block, query, seen, size, wanted=self.recompute)
        return features + self.compose(query.flatten(0, 1), size).unflatten(0, (batch, asked))
