"""Drift: the correction of a picture, carried to the pictures that were predicted from it, along the stream's vectors.

Decoding is linear up to rounding and clipping: prediction + residual. What a reference lacks, each block that was predicted
from it lacks too, moved and weighted as its prediction was (H.264 8.4.2).

Legend: B pictures, R reference pictures that they share, C channels, H x W pixels, h = ceil(H/8) and w = ceil(W/8) cells,
K candidates, two lists (0 past, 1 future).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.ops.motion_compensation import SIX_TAP, Taps, cells_to_pixels, compensate, half_samples
from b2scvr.types import MV_BLOCK

LISTS = 2
LATER = 0.1  # a candidate must leave an error smaller by this part for every place that it stands further back
NOISE = 1.0  # and by these squared levels: what two references differ where nothing moves
UNUSED = -1  # candidate for the reference of a cell: this list is not used
NO_CANDIDATE = -2  # fills up candidates


@dataclass
class Prediction:
    """How B pictures were predicted from R references."""

    vectors: Tensor  # float [B, 2 lists, 2, h, w], (x, y) in pixels from the picture to the reference
    reference: Tensor  # int64 [B, 2 lists, h, w] in 0..R-1
    weight: Tensor  # float [B, 2 lists, h, w]; a block's sum to 1, or are both 0: not predicted from any reference


def average(used: Tensor) -> Tensor:
    """Return the weights of default prediction (8.4.2.3.1), float [B, 2, h, w]; used: which lists, bool [B, 2, h, w]."""
    return used / used.sum(dim=1, keepdim=True).clamp(min=1)


def carry(corrections: Tensor, prediction: Prediction, taps: Taps = SIX_TAP) -> Tensor:
    """Return what the predicted pictures lack, [B, C, H, W], from what their references lack, [R, C, H, W].

    corrections: restored minus decoded reference. Blocks of no weight (intra) get zero. taps: the codec's half-sample
    filter. Differentiable in `corrections`. Raises ValueError when the shapes do not fit.
    """
    return predict(half_samples(corrections, taps), prediction, (corrections.shape[-2], corrections.shape[-1]))


def predict(halves: Tensor, prediction: Prediction, size: tuple[int, int]) -> Tensor:
    """Return the predictions [B, C, H, W], (H, W) = size, from the interpolated references (`half_samples`)."""
    past, future = (
        compensate(halves, prediction.vectors[:, side], prediction.reference[:, side], size)
        * cells_to_pixels(prediction.weight[:, side], size)[:, None]
        for side in range(LISTS)
    )
    return past + future


def choose_references(decoded: Tensor, halves: Tensor, vectors: Tensor, candidates: Tensor) -> Prediction:
    """Return the prediction that explains each decoded block best, by squared error; both lists are chosen together.

    decoded: luma [B, 1, H, W] in levels 0..255; halves: `half_samples` of the luma of R decoded references; vectors:
    [B, 2, 2, h, w]. candidates: int64 [B, 2, K, h, w] in 0..R-1, UNUSED or NO_CANDIDATE; the first ones are taken unless
    others explain the block clearly better. A cell without another choice than UNUSED in both lists is predicted from
    none. Explained are blocks as decoded, damage and all: so they were predicted.
    """
    size = (decoded.shape[-2], decoded.shape[-1])
    moved = [
        [compensate(halves, vectors[:, side], names.clamp(min=0), size) for names in candidates[:, side].unbind(1)]
        for side in range(LISTS)
    ]
    least = decoded.new_full(candidates[:, 0, 0].shape, torch.inf)
    chosen = torch.full_like(candidates[:, :, 0], UNUSED)
    for pair in product(range(candidates.shape[2]), repeat=LISTS):
        names = torch.stack([candidates[:, side, k] for side, k in enumerate(pair)], dim=1)
        weight = average(names >= 0).to(decoded.dtype)
        possible = (names != NO_CANDIDATE).all(dim=1) & (weight > 0).any(dim=1)
        if possible.any():
            shares = cells_to_pixels(weight, size)[:, :, None]
            error = _cell_errors(shares[:, 0] * moved[0][pair[0]] + shares[:, 1] * moved[1][pair[1]], decoded)
            error = error * (1 + LATER * sum(pair)) + NOISE * sum(pair)
            better = possible & (error < least)
            least = torch.where(better, error, least)
            chosen = torch.where(better[:, None], names, chosen)
    return Prediction(vectors, chosen.clamp(min=0), average(chosen >= 0).to(vectors.dtype))


def choose_weights(decoded: Tensor, halves: Tensor, prediction: Prediction, other: Tensor) -> Prediction:
    """Return the prediction with its own weights or with `other` ones, for each picture those that explain it better.

    decoded, halves: as for `choose_references`. other: weights [B, 2, h, w], those of implicit prediction, say.
    """
    size = (decoded.shape[-2], decoded.shape[-1])
    own, changed = (
        _cell_errors(predict(halves, replace(prediction, weight=weight), size), decoded).sum(dim=(1, 2))
        for weight in (prediction.weight, other)
    )
    better = (changed < own).view(-1, 1, 1, 1)
    return replace(prediction, weight=torch.where(better, other, prediction.weight))


def _cell_errors(predicted: Tensor, decoded: Tensor) -> Tensor:
    """Mean squared difference in each cell, [B, h, w], of pictures [B, 1, H, W]."""
    squares = (predicted - decoded).square()
    return F.avg_pool2d(squares, MV_BLOCK, ceil_mode=True, count_include_pad=False)[:, 0]
