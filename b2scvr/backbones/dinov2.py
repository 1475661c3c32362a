"""DINOv2 (Oquab et al., 2023) out of the `timm` package, which is imported here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.checkpoints.keys import KeyMap, load_published
from b2scvr.checkpoints.known import KNOWN, require_weights, sha256_of
from b2scvr.ops.resize import resize

PATCH_PX = 14
TRAINED_GRID = 37  # patches on a side of the square that the published weights were trained at
INTERPOLATE_OFFSET = 0.1  # added to the patches on a side before positions are stretched, as the published code does
VARIANTS = {"vits14": "small", "vitb14": "base", "vitl14": "large"}  # the published names -> timm's
KEYS = KeyMap(rules=((r"(.+)", r"\1"),), unused=("mask_token",))  # of their training only


class DINOv2(nn.Module):
    """Pictures -> patch tokens after the last layer norm, without the class token.

    variant: "vits14", "vitb14" or "vitl14", without registers; published: positions are stretched to other grids as the
    published code does, bicubic with its offset and without averaging; else by timm, bicubic with averaging.
    """

    def __init__(self, variant: str = "vits14", published: bool = False) -> None:
        # The package takes seconds to import, which only networks with this backbone should wait for.
        import timm

        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"DINOv2 variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        self.variant = variant
        self.published = published
        name = f"vit_{VARIANTS[variant]}_patch14_dinov2"
        vit = cast("Any", timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True))
        self.vit: Any = vit
        self.dim: int = vit.embed_dim

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: [B, 3, 14 h, 14 w], normalised. Returns tokens [B, h * w, dim] in raster order."""
        patches = self.vit.patch_embed(pictures)  # [B, h, w, dim]
        grid = (patches.shape[1], patches.shape[2])
        tokens = torch.cat((self.vit.cls_token.expand(len(patches), -1, -1), patches.flatten(1, 2)), 1)
        tokens = tokens + self.positions(grid).to(tokens.dtype)
        for block in self.vit.blocks:
            tokens = block(tokens)
        return self.vit.norm(tokens)[:, 1:]

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Return the position embeddings for a grid of (rows, columns) patches, [1, 1 + rows * columns, dim]."""
        own = self.vit.pos_embed
        if grid == (TRAINED_GRID, TRAINED_GRID):
            return own
        square = own[:, 1:].float().reshape(1, TRAINED_GRID, TRAINED_GRID, -1).permute(0, 3, 1, 2)
        if self.published:
            scale = [(side + INTERPOLATE_OFFSET) / TRAINED_GRID for side in grid]
            stretched = F.interpolate(square, scale_factor=scale, mode="bicubic")
        else:
            stretched = F.interpolate(square, grid, mode="bicubic", antialias=True)
        return torch.cat((own[:, :1], stretched.flatten(2).transpose(1, 2).to(own.dtype)), 1)

    def load_pretrained(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Load the published weights, from `paths` (by name) or where they are found; return their SHA-256 by name.

        MissingWeightsError says which file is wanted, and from where.
        """
        known = KNOWN[f"dinov2_{self.variant}"]
        path = require_weights(known, paths.get(known.name))
        load_published(path, self.vit, KEYS)
        return {known.name: sha256_of(path)}


class FieldEmbedder(nn.Module):
    """Maps of any number of channels, seen by DINOv2: one patch a cell, a learned mix of the channels as its colours.

    Without published weights all of it is trained. grid: (rows, columns) of the tokens, averaged from the patches of that
    part of the map, so that every token has its place.
    """

    def __init__(self, in_channels: int, grid: Sequence[int] = (8, 14), variant: str = "vits14") -> None:
        super().__init__()
        self.grid = (grid[0], grid[1])
        self.mix = nn.Conv2d(in_channels, 3, 1)
        self.backbone = DINOv2(variant)
        self.dim = self.backbone.dim

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, in_channels, h, w]. Returns tokens [B, rows * columns, dim] and their mean [B, dim]."""
        rows, columns = maps.shape[-2:]
        colours = resize(self.mix(maps), (rows * PATCH_PX, columns * PATCH_PX))
        patches = self.backbone(colours).transpose(1, 2).reshape(len(maps), self.dim, rows, columns)
        tokens = F.adaptive_avg_pool2d(patches, self.grid).flatten(2).transpose(1, 2)
        return tokens, tokens.mean(1)

    def load_pretrained(self, paths: Mapping[str, str]) -> dict[str, str]:
        """As DINOv2.load_pretrained; from then on the backbone is frozen, and the mix alone is trained."""
        found = self.backbone.load_pretrained(paths)
        self.backbone.requires_grad_(False)
        return found
