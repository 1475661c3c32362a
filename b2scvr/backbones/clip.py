"""CLIP's image tower (Radford et al., 2021) out of the `open_clip` package, which is imported here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.checkpoints.keys import KeyMap, load_published
from b2scvr.checkpoints.known import KNOWN, require_weights, sha256_of
from b2scvr.ops.normalise import CLIP, normalise

KEYS = KeyMap(rules=((r"visual\.(.+)", r"\1"),), unused=(r"(?!visual\.).+",))  # the text tower is not here


class ClipImageEncoder(nn.Module):
    """Pictures -> tokens and one embedding. Defaults: ViT-B-32; it is built here, nothing is downloaded.

    image_size: side of the square that it sees; published: name in checkpoints.known of a CLIP of this size, for
    `load_pretrained`.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 32,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        dim: int = 512,
        published: str = "clip_vit_b_32",
    ) -> None:
        # The package takes seconds to import, which only networks with this tower should wait for.
        from open_clip.transformer import VisionTransformer

        super().__init__()
        self.image_size = image_size
        self.dim = dim
        self.visual = VisionTransformer(
            image_size, patch_size, width, layers, heads, mlp_ratio=4.0, output_dim=dim, output_tokens=True
        )
        self.published = published

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """maps: [B, 3, image_size, image_size], prepared. Returns tokens [B, L, dim] and one embedding [B, dim]."""
        embedding, tokens = self.visual(maps)
        return tokens @ self.visual.proj, embedding

    def load_pretrained(self, paths: Mapping[str, str]) -> dict[str, str]:
        """Load the published image tower, from `paths` (by name) or where it is found; return its SHA-256 by name.

        MissingWeightsError says which file is wanted, and from where.
        """
        path = require_weights(KNOWN[self.published], paths.get(self.published))
        load_published(path, self.visual, KEYS)
        return {self.published: sha256_of(path)}

    def prepare(self, pictures: Tensor) -> Tensor:
        """Return pictures [B, 3, H, W] in [0, 1] as CLIP was trained: stretched to the square, bicubic, normalised."""
        size = (self.image_size, self.image_size)
        square = F.interpolate(pictures.float(), size, mode="bicubic", antialias=True).to(pictures.dtype)
        return normalise(square.clamp(0, 1), CLIP)
