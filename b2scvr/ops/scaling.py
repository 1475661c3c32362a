"""Maps made smaller and larger by whole factors."""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor


def shrink(x: Tensor, factor: int) -> Tensor:
    """Return the means [..., H / factor, W / factor] of squares of `x` [..., H, W], whose sides are multiples of `factor`.

    Sums of every so many rows, then columns: `avg_pool2d` takes eight times as long on a CPU.
    """
    if factor == 1:
        return x
    rows = reduce(torch.add, (x[..., start::factor, :] for start in range(factor)))
    return reduce(torch.add, (rows[..., start::factor] for start in range(factor))) / factor**2


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Return `x` [B, C, H, W] as [B, C, H * factor, W * factor], bilinear between the centres of its cells."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
