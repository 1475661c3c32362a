"""The published detector: SAM 2.1 prompted by a picture of the motion vectors and by the letter of the frame.

Its weights (`checkpoint.pt`) load through checkpoints.detector_keys. What it does that ours does not: vectors as a colour
wheel, tokens that forget their place, a first mask from outside, forward in time only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from b2scvr.backbones.dinov2 import PATCH_PX, DINOv2
from b2scvr.backbones.sam2_video import DIM, VideoSegmenter
from b2scvr.dac.neck import PromptingNeck
from b2scvr.dac.prompts import LETTERS
from b2scvr.registry import MODELS

VECTOR_TOKENS = 56


class PublishedTokens(nn.Module):
    """Picture of the vectors and letter of the frame -> 56 + 1 tokens, and 64 learned ones.

    picture -> DINOv2 -> mean over 56 runs of patches in raster order -> linear -> MLP
    letter  -> linear, layer norm, ReLU
    """

    def __init__(self, dim: int, num_vector: int = VECTOR_TOKENS, num_degradation: int = 64) -> None:
        super().__init__()
        self.num_vector = num_vector
        self.num_tokens = num_vector + 1 + num_degradation
        self.embedder = DINOv2("vits14", published=True).requires_grad_(False)
        self.vector_proj = nn.Linear(self.embedder.dim, dim)
        self.vector_mlp = nn.Sequential(
            nn.Linear(dim, 2 * dim),
            nn.GELU(),
            nn.LayerNorm(2 * dim),
            nn.Linear(2 * dim, dim),
            nn.GELU(),
            nn.LayerNorm(dim),
        )
        self.letter_proj = nn.Sequential(nn.Linear(LETTERS, dim), nn.LayerNorm(dim), nn.ReLU())
        self.degradation = nn.Parameter(torch.randn(num_degradation, dim))

    def forward(self, picture: Tensor, letter: Tensor) -> Tensor:
        """picture: [B, 3, s, s], normalised by ImageNet's statistics; letter: [B, 3], one-hot I, P, B.

        Returns [B, 121, dim].
        """
        return self.combine(self.embedder(pad_to_patches(picture)), letter)

    def combine(self, patches: Tensor, letter: Tensor) -> Tensor:
        """patches: [B, L, dim of DINOv2]; the rest as in `forward`."""
        pooled = F.adaptive_avg_pool1d(patches.transpose(1, 2), self.num_vector).transpose(1, 2)
        vectors = self.vector_mlp(self.vector_proj(pooled))
        learned = self.degradation.expand(len(letter), -1, -1)
        return torch.cat((vectors, self.letter_proj(letter)[:, None], learned), 1)


def pad_to_patches(picture: Tensor) -> Tensor:
    """Pad [B, 3, s, s] with zeros, evenly on all sides, to a whole number of DINOv2's patches."""
    missing = -picture.shape[-1] % PATCH_PX
    return F.pad(picture, (missing // 2, missing - missing // 2) * 2)


@MODELS.register_module()
class PublishedDetector(nn.Module):
    """SAM 2.1 whose mask decoder reads image features that went through the prompting neck.

    sam: arguments of `VideoSegmenter`; neck: of `PromptingNeck`. Frames are segmented one by one with the memory of earlier
    ones: see `dac.published_tracker`.
    """

    def __init__(self, sam: Mapping[str, Any] | None = None, neck: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.tokens = PublishedTokens(DIM)
        self.sam = VideoSegmenter(
            PromptingNeck(DIM, self.tokens.num_tokens, **{"fused": False, **(neck or {})}), **(sam or {})
        )
