"""What the stages ask of an image embedder, whatever network is behind it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ImageEmbedder(Protocol):
    """A module that turns maps into tokens: DINOv2, CLIP, or the small trained `ConvEmbedder`."""

    dim: int  # channels of a token and of the global embedding

    def __call__(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, in_channels, H, W]. Returns tokens [B, L, dim] in raster order and one embedding [B, dim]."""
