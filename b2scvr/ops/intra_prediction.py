"""H.264 intra prediction as matrices (8.3.1 to 8.3.3): which predictor explains a block, and what it makes of other neighbours.

A predictor is a linear map, but for rounding, from the samples on the line around a block to the block. The line of a
block of N x N samples has 3N + 1 samples: the column to the left from the bottom up, the corner, the row above and the N
samples to the right of it.

Legend: B pictures of H x W pixels, n blocks, C channels, M predictors, K = 3N + 1 samples of the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.types import MB_SIZE, PredictionMode

Row = np.ndarray  # float64 [K], weights of the line's samples in one predicted sample
DC = 2  # its number among the predictors, of all sizes
SMALL_PENALTY = (
    2.0  # blocks of 4x4 must explain a macroblock this much better than blocks of 8x8: they have more choice
)
SHARPNESS = 3.0  # weights of the predictors fall with this power of the squared error that they leave
NOISE = 1.0  # squared levels, added to that error
ROUNDS = 24  # blocks that predict from one another in a row; the change beyond is not carried on
_IMPOSSIBLE = 1e9  # squared error of a predictor whose neighbours are not there
# Blocks, as (x, y) in their macroblock, whose neighbours above to the right are decoded after them (6.4.11, 6.4.12).
_NO_RIGHT = {4: ((1, 1), (3, 1), (1, 3), (3, 2), (3, 3)), 8: ((1, 1),), MB_SIZE: ()}


@lru_cache(maxsize=3)
def predictors(size: int) -> np.ndarray:
    """Return the predictors of blocks of `size` (4, 8 or 16), float32 [M, size * size, 3 * size + 1]; each row sums to 1.

    In the order of tables 8-2, 8-3 and 8-4: vertical, horizontal, DC, then plane (16) or the six diagonal ones (4, 8).
    """
    kinds = _line_predictors(size)
    where = [(x, y) for y in range(size) for x in range(size)]
    matrices = np.array([[kind(x, y) for x, y in where] for kind in kinds])
    if size == 8:  # the line is smoothed first (8.3.2.2.1)
        matrices = matrices @ np.array([_mean(size, i - 1, i, i, i + 1) for i in range(3 * size + 1)])
    return matrices.astype(np.float32)


def _mean(size: int, *samples: int) -> Row:
    """Mean of samples of the line; beyond its ends stands its last sample."""
    row = np.zeros(3 * size + 1)
    for sample in samples:
        row[min(max(sample, 0), 3 * size)] += 1 / len(samples)
    return row


def _line_predictors(size: int) -> list[Callable[[int, int], Row]]:
    top, corner = size + 1, size  # of the line; left(y) = size - 1 - y
    both = np.zeros(3 * size + 1)
    both[:size] = both[top : top + size] = 1 / (2 * size)

    def smooth(centre: int) -> Row:
        return _mean(size, centre - 1, centre, centre, centre + 1)

    def vertical_right(x: int, y: int) -> Row:
        if 2 * x < y:
            return smooth(corner + 1 + 2 * x - y)
        at = corner + x - (y >> 1)
        return smooth(at) if y % 2 else _mean(size, at, at + 1)

    def vertical_left(x: int, y: int) -> Row:
        at = top + x + (y >> 1)
        return smooth(at + 1) if y % 2 else _mean(size, at, at + 1)

    def horizontal_down(x: int, y: int) -> Row:  # vertical_right with left and top exchanged
        row = np.zeros(3 * size + 1)
        row[: 2 * size + 1] = vertical_right(y, x)[2 * size :: -1]
        return row

    def horizontal_up(x: int, y: int) -> Row:
        at = size - 1 - y - (x >> 1)
        return smooth(at - 1) if x % 2 else _mean(size, at - 1, at)

    def plane(x: int, y: int) -> Row:
        row = _mean(size, 0, top + size - 1)
        for step in range(1, size // 2 + 1):  # 8.3.3.4; the corner stands at both ends
            slope = 5 / 64 * step / 32
            for sign in (1, -1):
                row[corner + size // 2 + sign * step] += sign * slope * (x - size // 2 + 1)
                row[corner - size // 2 - sign * step] += sign * slope * (y - size // 2 + 1)
        return row

    straight = [lambda x, y: _mean(size, top + x), lambda x, y: _mean(size, size - 1 - y), lambda x, y: both]
    if size == MB_SIZE:
        return [*straight, plane]
    diagonal = [lambda x, y: smooth(top + x + y + 1), lambda x, y: smooth(corner + x - y)]
    return [*straight, *diagonal, vertical_right, horizontal_down, vertical_left, horizontal_up]


@dataclass
class _Blocks:
    """Intra blocks of one size: indices into the samples of all pictures (padded to whole macroblocks), flattened."""

    size: int
    pixels: Tensor  # int64 [n, size * size]
    line: Tensor  # int64 [n, K]
    present: Tensor  # bool [n, K], that sample is inside the picture


def _blocks(macroblocks: Tensor, size: int, height: int, width: int) -> _Blocks:
    """Cut macroblocks, int64 [m, 3] (picture, row, column), of pictures of whole macroblocks into blocks of `size`."""
    device = macroblocks.device
    side = MB_SIZE // size
    within = torch.cartesian_prod(torch.arange(side, device=device), torch.arange(side, device=device))  # (y, x)
    late = torch.tensor([(x, y) in _NO_RIGHT[size] for y, x in within.tolist()], device=device)
    top = (macroblocks[:, 1:2] * MB_SIZE + within[:, 0] * size).reshape(-1, 1)
    left = (macroblocks[:, 2:3] * MB_SIZE + within[:, 1] * size).reshape(-1, 1)
    base = macroblocks[:, :1].expand(-1, len(within)).reshape(-1, 1) * height * width
    steps = torch.arange(size, device=device)
    pixels = ((top + steps)[:, :, None] * width + (left + steps)[:, None, :]).flatten(1) + base
    no_right = late.repeat(len(macroblocks)).view(-1, 1) | (left + size >= width)
    above = torch.arange(2 * size, device=device)
    above = torch.where(no_right, above.clamp(max=size - 1), above)  # 8.3.1.2, 8.3.2.2
    x = torch.cat(((left - 1).expand(-1, size + 1), left + above), dim=1)
    y = torch.cat((top + steps.flip(0), (top - 1).expand(-1, 2 * size + 1)), dim=1)
    present = (x >= 0) & (y >= 0)
    return _Blocks(size, pixels, torch.where(present, y * width + x + base, 0), present)


def _errors(luma: Tensor, blocks: _Blocks) -> Tensor:
    """Return the mean squared error that each predictor leaves, [M, n]; luma: all samples, flattened, in levels."""
    matrices = torch.from_numpy(predictors(blocks.size)).to(luma)
    present = blocks.present.to(luma.dtype)
    predicted = torch.einsum("mpk,nk->mnp", matrices, luma[blocks.line] * present)
    share = torch.einsum("k,nk->n", matrices[DC, 0], present)
    predicted[DC] /= share.clamp(min=1 / 4)[:, None]  # DC takes what is there
    errors = (predicted - luma[blocks.pixels]).square().mean(dim=-1)
    needed = (matrices != 0).any(dim=1).to(luma.dtype)
    impossible = torch.einsum("mk,nk->mn", needed, 1 - present) > 0
    impossible[DC] = share == 0
    return errors.masked_fill(impossible, _IMPOSSIBLE)


@dataclass
class IntraFit:
    """How the intra blocks of a batch were predicted, as `fit_intra` finds it."""

    size: tuple[int, int]  # H, W
    blocks: list[_Blocks]
    matrices: list[Tensor]  # of each group of blocks [n, size * size, K]

    def spread(self, correction: Tensor) -> Tensor:
        """Return `correction` [B, C, H, W] with the intra blocks predicted from the corrections around them.

        What stood in the intra blocks before is not used. Differentiable.
        """
        padded = _pad_to_macroblocks(correction)
        flat = padded.transpose(0, 1).flatten(1)  # [C, all samples]
        inside = torch.cat([group.pixels.flatten() for group in self.blocks])
        position = torch.full(flat.shape[1:], -1, device=flat.device)
        position[inside] = torch.arange(len(inside), device=flat.device)
        found = flat.new_zeros(len(flat), len(inside))
        lines = [(position[group.line], flat[:, group.line]) for group in self.blocks]
        for _ in range(ROUNDS):
            parts = []
            for matrix, (own, around) in zip(self.matrices, lines, strict=True):
                line = torch.where(own >= 0, found[:, own.clamp(min=0)], around)
                parts.append(torch.einsum("npk,cnk->cnp", matrix.to(line.dtype), line).flatten(1))
            found = torch.cat(parts, dim=1)
        flat = flat.index_copy(1, inside, found)
        height, width = self.size
        return flat.unflatten(1, (len(padded), *padded.shape[-2:])).transpose(0, 1)[..., :height, :width]


def fit_intra(luma: Tensor, mode: Tensor) -> IntraFit | None:
    """Return how the intra macroblocks of decoded pictures were predicted; None when there is none.

    luma: [B, H, W] in levels 0..255; mode: [B, ceil(H/16), ceil(W/16)] of PredictionMode. The predictor is not told by
    the decoder: predictors weigh as the decoded neighbours explain the decoded block, and blocks are 4x4 or 8x8 by the
    same measure. No gradient flows into the choice.
    """
    padded = _pad_to_macroblocks(luma[:, None])
    height, width = padded.shape[-2:]
    samples = padded.detach().flatten()
    groups = []
    small, whole = (mode == PredictionMode.INTRA_NXN).nonzero(), (mode == PredictionMode.INTRA_16X16).nonzero()
    if len(small):
        quarters, halves = (_blocks(small, size, height, width) for size in (4, 8))
        left = [_errors(samples, group).amin(dim=0).view(len(small), -1).mean(dim=1) for group in (quarters, halves)]
        fine = left[0] * SMALL_PENALTY < left[1]
        groups += [(small[fine], 4), (small[~fine], 8)]
    groups.append((whole, MB_SIZE))
    blocks = [_blocks(macroblocks, size, height, width) for macroblocks, size in groups if len(macroblocks)]
    if not blocks:
        return None
    return IntraFit((luma.shape[-2], luma.shape[-1]), blocks, [_mixture(samples, group) for group in blocks])


def _mixture(luma: Tensor, blocks: _Blocks) -> Tensor:
    """Return the mean of the predictors, weighed by how well they explain each block, [n, size * size, K]."""
    weight = (_errors(luma, blocks) + NOISE) ** -SHARPNESS
    weight = weight / weight.sum(dim=0)
    matrices = torch.from_numpy(predictors(blocks.size)).to(luma)
    mixed = torch.einsum("mn,mpk->npk", weight, matrices) * blocks.present[:, None]
    return mixed / mixed.sum(dim=-1, keepdim=True).clamp(min=1 / 4)


def _pad_to_macroblocks(pictures: Tensor) -> Tensor:
    """[B, C, H, W] -> H and W multiples of 16, the edge repeated."""
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (0, -width % MB_SIZE, 0, -height % MB_SIZE), mode="replicate")
