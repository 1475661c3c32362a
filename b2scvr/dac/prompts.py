"""Prompts from the bitstream: tokens for the neck's dictionary, and maps for the feature grid.

Which prompts a detector has is its configuration (`parse_prompts`). What is not named has no parameters, and the
network does not see it.

    mv         motion vectors of both lists, in macroblocks, with validity
    pm         one letter a picture, I, P or B: what the published detector calls the prediction mode
    mode       prediction modes of the macroblocks
    qp         quantiser of the macroblocks
    concealed  what the decoder concealed, where slices start, whether the picture lost bits: with it, the raster prior
    trace      concealment carried along vectors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.dinov2 import FieldEmbedder
from b2scvr.backbones.image_encoder import ConvEmbedder
from b2scvr.ops.evidence import CHANNELS, GROUPS, channel_indices
from b2scvr.ops.positions import sine_positions
from b2scvr.ops.resize import resize
from b2scvr.types import PredictionMode

PROMPTS = (*GROUPS, "pm")
LETTERS = 3  # I, P, B
_INTRA = [PredictionMode.INTRA_NXN, PredictionMode.INTRA_16X16, PredictionMode.PCM]
_BIDIRECTIONAL = [PredictionMode.DIRECT, PredictionMode.FUTURE, PredictionMode.BOTH]
_CONCEALED = CHANNELS.index("concealed")


def parse_prompts(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of PROMPTS in their own order, from names in any order, or from a word as in the paper's table.

    "none"; "all" (but the letter, which the macroblocks' modes imply); "mv+pm". ValueError names an unknown one.
    """
    if isinstance(prompts, str):
        prompts = {"none": (), "all": tuple(GROUPS)}.get(prompts, prompts.split("+"))
    unknown = set(prompts) - set(PROMPTS)
    if unknown:
        raise ValueError(
            f"unknown prompt {sorted(unknown)}; known: {', '.join(PROMPTS)}, or 'none', 'all', 'mv+pm' ..."
        )
    return tuple(name for name in PROMPTS if name in prompts)


def picture_letter(evidence: Tensor) -> Tensor:
    """Return the picture type as the modes show it, one-hot [B, 3] (I, P, B), from evidence [B, C, h, w].

    B where any macroblock may predict from list 1, I where none that the decoder read is inter coded, else P.
    """
    shares = (evidence[:, : len(PredictionMode)] * (1 - evidence[:, _CONCEALED : _CONCEALED + 1])).sum((2, 3))
    intra, known = shares[:, _INTRA].sum(1), shares[:, 1:].sum(1)  # 0 is the unknown mode
    letter = torch.where(shares[:, _BIDIRECTIONAL].sum(1) > 0, 2, torch.where(known > intra, 1, 0))
    return F.one_hot(letter, LETTERS).to(evidence.dtype)


class PromptTokens(nn.Module):
    """Vector, mode, letter and learned degradation tokens: the dictionary of the neck (B2SCVR, section 3.2).

    Vector tokens: an image embedder on the vector field, behind a linear map and an MLP; mode tokens: the shares of the
    prediction modes in each part of the picture, through a linear map, layer norm and ReLU; letter token: the picture's
    type, likewise. Each kind exists only if its prompt is there.

    prompts: names of PROMPTS; embedder: `type` "conv" (the default) or "dinov2", and arguments of `ConvEmbedder` or
    `FieldEmbedder`; mode_grid: parts of the picture, (rows, columns); positions: tokens say where in the picture they lie.
    """

    vector_place: Tensor
    mode_place: Tensor

    def __init__(
        self,
        dim: int,
        prompts: Sequence[str],
        num_degradation: int = 64,
        mode_grid: tuple[int, int] = (1, 1),
        embedder: Mapping[str, Any] | None = None,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.mode_grid = (mode_grid[0], mode_grid[1])
        self.vector_channels = channel_indices(("mv",)) if "mv" in prompts else []
        self.mode_channels = channel_indices(("mode",)) if "mode" in prompts else []
        self.letter_proj: nn.Module | None = None
        self.degradation = nn.Parameter(torch.randn(num_degradation, dim))
        self.num_tokens = num_degradation
        if self.vector_channels:
            self.embedder = _build_embedder(len(self.vector_channels), dim, embedder or {})
            self.vector_proj = nn.Linear(self.embedder.dim, dim)
            self.vector_mlp = nn.Sequential(
                nn.Linear(dim, 2 * dim),
                nn.GELU(),
                nn.LayerNorm(2 * dim),
                nn.Linear(2 * dim, dim),
                nn.GELU(),
                nn.LayerNorm(dim),
            )
            self._keep_places("vector_place", dim, self.embedder.grid, positions)
            self.num_tokens += self.embedder.grid[0] * self.embedder.grid[1]
        if self.mode_channels:
            self.mode_proj = nn.Sequential(nn.Linear(len(self.mode_channels), dim), nn.LayerNorm(dim), nn.ReLU())
            self._keep_places("mode_place", dim, self.mode_grid, positions)
            self.num_tokens += self.mode_grid[0] * self.mode_grid[1]
        if "pm" in prompts:
            self.letter_proj = nn.Sequential(nn.Linear(LETTERS, dim), nn.LayerNorm(dim), nn.ReLU())
            self.num_tokens += 1

    def forward(self, evidence: Tensor) -> Tensor:
        """evidence: [B, C, h, w], all channels of `ops.evidence.CHANNELS`. Returns tokens [B, num_tokens, dim]."""
        tokens = []
        if self.vector_channels:
            seen, _ = self.embedder(evidence[:, self.vector_channels])
            tokens.append(self.vector_mlp(self.vector_proj(seen)) + self.vector_place)
        if self.mode_channels:
            shares = F.adaptive_avg_pool2d(evidence[:, self.mode_channels], self.mode_grid)
            tokens.append(self.mode_proj(shares.flatten(2).transpose(1, 2)) + self.mode_place)
        if self.letter_proj is not None:
            tokens.append(self.letter_proj(picture_letter(evidence))[:, None])
        return torch.cat((*tokens, self.degradation.expand(len(evidence), -1, -1)), 1)

    def _keep_places(self, name: str, dim: int, grid: tuple[int, int], positions: bool) -> None:
        places = sine_positions(dim, *grid) if positions else torch.zeros(())
        self.register_buffer(name, places, persistent=False)


def _build_embedder(in_channels: int, dim: int, options: Mapping[str, Any]) -> ConvEmbedder | FieldEmbedder:
    """Return the embedder of the vector field; ValueError for an unknown type."""
    kind = options.get("type", "conv")
    given = {key: value for key, value in options.items() if key != "type"}
    if kind == "dinov2":
        return FieldEmbedder(in_channels, **given)
    if kind == "conv":
        return ConvEmbedder(in_channels, **{"dim": dim, "global_embedding": False, **given})
    raise ValueError(f"the embedder's type must be 'conv' or 'dinov2', got {kind!r}")


class DensePrompts(nn.Module):
    """All prompts that are maps -> a map on the macroblock grid, and its projection on SAM's feature grid.

    groups: keys of ops.evidence.GROUPS, one at least.
    """

    def __init__(self, groups: Sequence[str], width: int, dim: int) -> None:
        super().__init__()
        self.channels = channel_indices(tuple(groups))
        self.conv = nn.Conv2d(len(self.channels), width, 3, padding=1)
        self.proj = nn.Conv2d(width, dim, 1)

    def forward(self, evidence: Tensor, grid: int) -> tuple[Tensor, Tensor]:
        """evidence: [B, C, h, w]. Returns [B, width, h, w] and the prompt [B, dim, grid, grid]."""
        maps = F.gelu(self.conv(evidence[:, self.channels]))
        return maps, self.proj(resize(maps, (grid, grid)))
