"""Surroundings as tensors: what the networks, the restorer and the collate function of training share."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.types import MB_SIZE, Surroundings


def to_tensors(surroundings: Surroundings) -> dict[str, Tensor]:
    """Return float32 tensors of one damaged picture, without a batch axis; collate them with `torch.stack`.

    window [N, 3, H, W] and candidates [K, 3, H, W] in [0, 1]; candidate_valid [K, H, W]; motion [N, 2, H, W] (x, y)
    pixels; distance [N] pictures; evidence [C, h, w].
    """
    return {
        "window": pictures_to_tensor(surroundings.window),
        "candidates": pictures_to_tensor(surroundings.candidates),
        "candidate_valid": torch.from_numpy(np.ascontiguousarray(surroundings.candidate_valid, np.float32)),
        "motion": torch.from_numpy(np.ascontiguousarray(surroundings.motion.transpose(0, 3, 1, 2), np.float32)),
        "distance": torch.from_numpy(np.ascontiguousarray(surroundings.distance, np.float32)),
        "evidence": torch.from_numpy(np.ascontiguousarray(surroundings.evidence, np.float32)),
    }


def pictures_to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [..., H, W, 3] -> float32 [..., 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3))).float() / 255


def tensor_to_picture(picture: Tensor) -> np.ndarray:
    """[3, H, W] -> uint8 [H, W, 3]; clipped to [0, 1], rounded to nearest."""
    values = (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return values.permute(1, 2, 0).cpu().numpy()


def macroblocks_to_pixels(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Return values of macroblocks [B, C, h, w] at every pixel [B, C, H, W], (H, W) = size."""
    pixels = F.interpolate(grid, scale_factor=MB_SIZE, mode="nearest")
    return pixels[..., : size[0], : size[1]]


def mask_at_pixels(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return logits at a quarter of the resolution of the padded picture, [B, 1, 4h, 4w], at every pixel of `size`."""
    full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    return full[..., : size[0], : size[1]]
