"""Prompts from the bitstream: tokens for the neck's dictionary, and maps for the feature grid.

Which evidence a detector reads is its configuration: names of the groups in `ops.evidence.GROUPS`, or none at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.image_encoder import ConvEmbedder
from b2scvr.ops.evidence import channel_indices
from b2scvr.ops.resize import resize


class PromptTokens(nn.Module):
    """Vector tokens, mode tokens and learned degradation tokens: the dictionary of the neck (B2SCVR, section 3.2).

    Vector tokens: an image embedder on the vector field, behind a linear map and an MLP; mode tokens: the shares of the
    prediction modes in each part of the picture, through a linear map, layer norm and ReLU. Each kind exists only if its
    evidence is read. embedder: arguments of the `ConvEmbedder`; mode_grid: parts of the picture, (rows, columns).
    """

    def __init__(
        self,
        dim: int,
        evidence: Sequence[str],
        num_degradation: int = 64,
        mode_grid: tuple[int, int] = (1, 1),
        embedder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.mode_grid = (mode_grid[0], mode_grid[1])
        self.vector_channels = channel_indices(("mv",)) if "mv" in evidence else []
        self.mode_channels = channel_indices(("mode",)) if "mode" in evidence else []
        self.degradation = nn.Parameter(torch.randn(num_degradation, dim))
        self.num_tokens = num_degradation
        if self.vector_channels:
            options: dict[str, Any] = {"dim": dim, "global_embedding": False, **(embedder or {})}
            self.embedder = ConvEmbedder(len(self.vector_channels), **options)
            self.vector_proj = nn.Linear(self.embedder.dim, dim)
            self.vector_mlp = nn.Sequential(
                nn.Linear(dim, 2 * dim),
                nn.GELU(),
                nn.LayerNorm(2 * dim),
                nn.Linear(2 * dim, dim),
                nn.GELU(),
                nn.LayerNorm(dim),
            )
            self.num_tokens += self.embedder.grid[0] * self.embedder.grid[1]
        if self.mode_channels:
            self.mode_proj = nn.Sequential(nn.Linear(len(self.mode_channels), dim), nn.LayerNorm(dim), nn.ReLU())
            self.num_tokens += self.mode_grid[0] * self.mode_grid[1]

    def forward(self, evidence: Tensor) -> Tensor:
        """evidence: [B, C, h, w], all channels of `ops.evidence.CHANNELS`. Returns tokens [B, num_tokens, dim]."""
        tokens = []
        if self.vector_channels:
            tokens.append(self.vector_mlp(self.vector_proj(self.embedder(evidence[:, self.vector_channels])[0])))
        if self.mode_channels:
            shares = F.adaptive_avg_pool2d(evidence[:, self.mode_channels], self.mode_grid)
            tokens.append(self.mode_proj(shares.flatten(2).transpose(1, 2)))
        return torch.cat((*tokens, self.degradation.expand(len(evidence), -1, -1)), 1)


class DensePrompts(nn.Module):
    """All evidence maps that are read -> a map on the macroblock grid, and its projection on SAM's feature grid."""

    def __init__(self, evidence: Sequence[str], width: int, dim: int) -> None:
        super().__init__()
        self.channels = channel_indices(tuple(evidence))
        self.conv = nn.Conv2d(len(self.channels), width, 3, padding=1)
        self.proj = nn.Conv2d(width, dim, 1)

    def forward(self, evidence: Tensor, grid: int) -> tuple[Tensor, Tensor]:
        """evidence: [B, C, h, w]. Returns [B, width, h, w] and the prompt [B, dim, grid, grid]."""
        maps = F.gelu(self.conv(evidence[:, self.channels]))
        return maps, self.proj(resize(maps, (grid, grid)))
