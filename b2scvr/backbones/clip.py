"""CLIP's image tower (Radford et al., 2021) out of the `open_clip` package, which is imported here and nowhere else."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.checkpoints.load import load_part
from b2scvr.ops.normalise import CLIP, normalise

VISUAL_PREFIX = "visual"  # of the image tower's weights in open_clip's files


class ClipImageEncoder(nn.Module):
    """Pictures -> tokens and one embedding. Defaults: ViT-B-32; it is built here, nothing is downloaded.

    image_size: side of the square it sees; weights: a file of open_clip whose image tower is loaded; None leaves the
    weights random, for a checkpoint to fill.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 32,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        dim: int = 512,
        weights: str | Path | None = None,
    ) -> None:
        # The package takes seconds to import, which only networks with this tower should wait for.
        from open_clip.transformer import VisionTransformer

        super().__init__()
        self.image_size = image_size
        self.dim = dim
        self.visual = VisionTransformer(
            image_size, patch_size, width, layers, heads, mlp_ratio=4.0, output_dim=dim, output_tokens=True
        )
        if weights is not None:
            load_part(self.visual, weights, VISUAL_PREFIX)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, 3, image_size, image_size], prepared. Returns tokens [B, L, dim] and one embedding [B, dim]."""
        embedding, tokens = self.visual(maps)
        return tokens @ self.visual.proj, embedding

    def prepare(self, pictures: Tensor) -> Tensor:
        """Return pictures [B, 3, H, W] in [0, 1] as CLIP was trained: stretched to the square, bicubic, normalised."""
        size = (self.image_size, self.image_size)
        square = F.interpolate(pictures.float(), size, mode="bicubic", antialias=True).to(pictures.dtype)
        return normalise(square.clamp(0, 1), CLIP)
