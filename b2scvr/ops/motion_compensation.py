"""Motion compensation with the interpolation of the codecs, as differentiable gathers over a batch (H.264 8.4.2.2).

Interpolation is linear up to rounding and clipping, so what is said here of pictures holds for differences of pictures.

Legend: B pictures, R reference pictures that they share, C channels, H x W pixels, h = ceil(H/8) and w = ceil(W/8) cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.types import MV_BLOCK

QUARTER = 4  # vectors count in quarters of a sample
Taps = tuple[float, float, float, float, float, float]
SIX_TAP: Taps = (1 / 32, -5 / 32, 20 / 32, 20 / 32, -5 / 32, 1 / 32)  # H.264 8.4.2.2.1
BILINEAR: Taps = (0.0, 0.0, 0.5, 0.5, 0.0, 0.0)  # MPEG-1, MPEG-2 and MPEG-4 part 2 without quarter samples
MARGIN = 3  # samples around a picture from which on, with clamped coordinates, nothing changes any more (six taps)
_BEFORE, _BEHIND = 2, 3  # taps on either side of the integer sample before a half sample

# A sample at a quarter position is the mean of two samples of the grid of halves, here as (x, y) steps on it from the
# integer sample G; row = quarters down, column = quarters to the right (8.4.2.2.1, figure 8-4).
_G, _B, _H, _J, _RIGHT, _DOWN, _M, _S = (0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (1, 2)
_PAIRS = (
    ((_G, _G), (_G, _B), (_B, _B), (_B, _RIGHT)),
    ((_G, _H), (_B, _H), (_B, _J), (_B, _M)),
    ((_H, _H), (_H, _J), (_J, _J), (_J, _M)),
    ((_H, _DOWN), (_H, _S), (_J, _S), (_S, _M)),
)


def half_samples(pictures: Tensor, taps: Taps = SIX_TAP) -> Tensor:
    """Return pictures [..., H, W] on the grid of half samples, [..., 2 (H + 2 MARGIN), 2 (W + 2 MARGIN)].

    Entry (2 MARGIN, 2 MARGIN) is the first sample of the picture; outside it, coordinates are clamped.
    """
    margins = (MARGIN + _BEFORE, MARGIN + _BEHIND)
    flat = pictures.reshape(-1, 1, *pictures.shape[-2:])
    grid = F.pad(flat, (*margins, *margins), mode="replicate")
    for axis in (2, 3):
        grid = _with_halves(grid, taps, axis)
    return grid.reshape(*pictures.shape[:-2], *grid.shape[-2:])


def _with_halves(grid: Tensor, taps: Taps, axis: int) -> Tensor:
    """Return, for n + 5 samples along an axis, 2 n: each but the outer ones, and the half sample behind it."""
    count = grid.shape[axis] - _BEFORE - _BEHIND
    halves = torch.zeros_like(grid.narrow(axis, 0, count))
    for place, tap in enumerate(taps):
        if tap:
            halves.add_(grid.narrow(axis, place, count), alpha=tap)
    return torch.stack((grid.narrow(axis, _BEFORE, count), halves), dim=axis + 1).flatten(axis, axis + 1)


def compensate(halves: Tensor, vectors: Tensor, reference: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the prediction [B, C, H, W] of pictures of `size` = (H, W) from their references.

    halves: `half_samples` of the references, [R, C, 2 (H + 2 MARGIN), 2 (W + 2 MARGIN)]. vectors: [B, 2, h, w], (x, y) in
    pixels from the picture to the reference, rounded here to quarters. reference: int64 [B, h, w] in 0..R-1, which
    reference each cell reads. Differentiable in `halves`. Raises ValueError when shapes do not fit.
    """
    height, width = size
    rows, columns = halves.shape[-2:]
    grid = (-(-height // MV_BLOCK), -(-width // MV_BLOCK))
    if (rows, columns) != (2 * (height + 2 * MARGIN), 2 * (width + 2 * MARGIN)) or vectors.shape[-2:] != grid:
        raise ValueError(
            f"compensate: halves {list(halves.shape)}, vectors {list(vectors.shape)} and size {size} do not fit"
        )
    moved = cells_to_pixels((vectors * QUARTER).round().long(), size)
    x = torch.arange(width, device=moved.device) * QUARTER + moved[:, 0]
    y = torch.arange(height, device=moved.device).view(-1, 1) * QUARTER + moved[:, 1]
    start = cells_to_pixels(reference, size) * rows
    steps = torch.tensor(_PAIRS, device=moved.device)[y % QUARTER, x % QUARTER]  # [B, H, W, pair, (x, y)]
    flat = halves.transpose(0, 1).flatten(1)  # [C, samples of all references]
    samples = []
    for pair in range(2):
        column = _clamped(x, steps[..., pair, 0], width)
        row = _clamped(y, steps[..., pair, 1], height)
        samples.append(flat[:, (start + row) * columns + column])
    return ((samples[0] + samples[1]) / 2).transpose(0, 1)


def _clamped(quarters: Tensor, steps: Tensor, length: int) -> Tensor:
    """Return indices on the grid of halves of positions in quarters plus steps in halves."""
    halves = quarters // QUARTER * 2 + steps
    return halves.clamp(-2 * MARGIN, 2 * (length - 1 + MARGIN)) + 2 * MARGIN


def cells_to_pixels(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Return values of the 8x8 cells [..., h, w] at every pixel [..., H, W], (H, W) = size."""
    pixels = cells.repeat_interleave(MV_BLOCK, -2).repeat_interleave(MV_BLOCK, -1)
    return pixels[..., : size[0], : size[1]]
