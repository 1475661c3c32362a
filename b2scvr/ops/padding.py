"""Padding of feature maps to the sizes that strides and windows ask for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, multiple: int | tuple[int, int], mode: str = "replicate") -> Tensor:
    """Return `x` [..., H, W] padded at the bottom and right to multiples of `multiple` (rows, columns).

    mode: "zeros", "replicate" (repeat the edge) or "mirror" (reflect, edge included; works for any size).
    Crop with `[..., :H, :W]`. Raises ValueError for another mode. `x` itself comes back when nothing is missing.
    """
    rows, columns = (multiple, multiple) if isinstance(multiple, int) else multiple
    height, width = x.shape[-2:]
    bottom, right = -height % rows, -width % columns
    if bottom == right == 0:
        return x
    if mode == "zeros":
        return F.pad(x, (0, right, 0, bottom))
    if mode not in ("replicate", "mirror"):
        raise ValueError(f"padding mode must be zeros, replicate or mirror, got {mode!r}")
    for dim, size, missing in ((x.dim() - 2, height, bottom), (x.dim() - 1, width, right)):
        if missing:
            position = torch.arange(size, size + missing, device=x.device) % (2 * size)
            mirrored = torch.where(position < size, position, 2 * size - 1 - position)
            source = mirrored if mode == "mirror" else torch.full_like(position, size - 1)
            x = torch.cat((x, x.index_select(dim, source)), dim)
    return x
