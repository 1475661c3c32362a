"""Non-overlapping windows of token grids (Liu et al., Swin Transformer, 2021)."""

from __future__ import annotations

import torch
from torch import Tensor


def partition_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Return the windows of `x`.

    x: [B, H, W, C], H and W multiples of the window (rows, columns) = (p, q).
    Returns [B, H / p * W / q, p * q, C], windows and tokens in raster order. Raises ValueError for other sizes.
    """
    batch, height, width, channels = x.shape
    rows, columns = window
    if height % rows or width % columns:
        raise ValueError(f"grid {height}x{width} does not tile by windows of {rows}x{columns}")
    x = x.reshape(batch, height // rows, rows, width // columns, columns, channels)
    return x.transpose(2, 3).reshape(batch, -1, rows * columns, channels)


def merge_windows(windows: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Undo `partition_windows`: [B, windows, p * q, C] -> [B, H, W, C] with (H, W) = size."""
    rows, columns = window
    height, width = size
    batch, _, _, channels = windows.shape
    x = windows.reshape(batch, height // rows, width // columns, rows, columns, channels)
    return x.transpose(2, 3).reshape(batch, height, width, channels)


def relative_position_index(window: tuple[int, int]) -> Tensor:
    """Return int64 [p * q, p * q]: which of the (2p - 1)(2q - 1) displacements lies between two tokens of a window."""
    rows, columns = window
    ys = torch.arange(rows).repeat_interleave(columns)
    xs = torch.arange(columns).repeat(rows)
    dy = ys[:, None] - ys[None] + rows - 1
    dx = xs[:, None] - xs[None] + columns - 1
    return dy * (2 * columns - 1) + dx


def shifted_window_mask(size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """Return bool [windows, p * q, p * q], True where two tokens of a cyclically shifted window were neighbours before.

    size: grid (H, W); shift: (rows, columns) by which the grid was rolled up and left.
    """
    region = [
        (torch.arange(length) >= length - step).long() if step else torch.zeros(length, dtype=torch.long)
        for length, step in zip(size, shift, strict=True)
    ]
    label = 2 * region[0][:, None] + region[1][None]
    windows = partition_windows(label[None, :, :, None], window)[0, :, :, 0]
    return windows[:, :, None] == windows[:, None, :]


def rolled_positions(window: tuple[int, int], expand: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (row, column) of a window's own tokens, then of those that four diagonal shifts by `expand` add.

    Relative to the window's first token. Positions that two shifts share stand twice, as in the focal attention of
    E2FGVI (2022): 45 + 120 for window 5x9, expand 2x4.
    """
    own = [(row, column) for row in range(window[0]) for column in range(window[1])]
    inside = set(own)
    shifts = [(sign_y * expand[0], sign_x * expand[1]) for sign_y in (1, -1) for sign_x in (1, -1)]
    moved = [(row + dy, column + dx) for dy, dx in shifts for row, column in own]
    return own + [position for position in moved if position not in inside]


def gather_index(
    size: tuple[int, int], window: tuple[int, int], positions: list[tuple[int, int]], wrap: bool = False
) -> tuple[Tensor, Tensor]:
    """Return where each window of a grid finds the tokens at `positions` relative to its first token.

    size: the grid (H, W); windows tile it from the upper left, the last ones may reach beyond.
    Returns index int64 [windows, P] into the flattened grid and valid bool [windows, P]. Positions outside the grid are
    wrapped to its other side (`wrap`, the published roll) or marked not valid.
    """
    height, width = size
    offset = torch.tensor(positions)
    top = torch.arange(0, height, window[0]).repeat_interleave(-(-width // window[1]))
    left = torch.arange(0, width, window[1]).repeat(-(-height // window[0]))
    rows, columns = top[:, None] + offset[:, 0], left[:, None] + offset[:, 1]
    valid = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows % height * width + columns % width
    return index, torch.ones_like(valid) if wrap else valid
