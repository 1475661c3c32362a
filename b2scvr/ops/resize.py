"""Resizing of maps and pictures."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `x` [B, C, H, W] at `size` (H', W'): bilinear, averaging where it shrinks. The number type stays.

    PyTorch's averaging (antialias) has no half-precision kernel on a CPU, so it is computed in float32.
    """
    return F.interpolate(x.float(), size, mode="bilinear", align_corners=False, antialias=True).to(x.dtype)
