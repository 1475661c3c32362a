"""Where a token lies in its picture, as numbers that a network can read."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST_WAVE = 10000.0  # Vaswani et al., Attention Is All You Need, 2017, section 3.5


def sine_positions(dim: int, rows: int, columns: int) -> Tensor:
    """Return [rows * columns, dim] in [-1, 1], raster order: sines of row and column, half of the channels each.

    Places are those of the cells' centres in a picture of side 2 pi, so that another grid on the same picture gives the same
    place the same values (Carion et al., DETR, 2020). ValueError when dim is no multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"positions need channels in fours, got {dim}")
    rates = LONGEST_WAVE ** (-torch.arange(dim // 4) / (dim // 4))

    def waves(count: int) -> Tensor:
        place = 2 * math.pi * (torch.arange(count) + 0.5) / count
        angle = place[:, None] * rates
        return torch.cat((angle.sin(), angle.cos()), 1)

    down, across = waves(rows), waves(columns)
    grid = torch.cat((down[:, None].expand(-1, columns, -1), across.expand(rows, -1, -1)), -1)
    return grid.flatten(0, 1)
