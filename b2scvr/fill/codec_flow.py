"""The motion between neighbouring pictures as the bitstream tells it: metric, on the grid of its vectors, with holes."""

from __future__ import annotations

import numpy as np

from b2scvr.fill.vectors import motion_from_vectors, steady_vectors
from b2scvr.types import NOT_WHOLE, ParsedClip

MOSTLY_TOLD = 0.5  # share of a picture's cells; with fewer vectors of its own, those of other pictures are asked
FAINTEST_VOTE = 0.015  # a quarter of a vote that assumes constant speed (vectors.SPEED_WEIGHT)


def codec_flow(clip: ParsedClip, first: int, count: int) -> np.ndarray:
    """Return the flow between `count` consecutive pictures from display index `first` on, float32 [2, count - 1, 3, r, c].

    Axis 0: picture n -> n + 1, then n + 1 -> n, each on the grid (r, c) of 8x8 blocks of the picture that it starts from.
    Channels: (x, y) in pixels, and 1 where it is known; holes are zero. ValueError when the clip has not these pictures.
    """
    if first < 0 or count < 1 or first + count > len(clip):
        raise ValueError(f"pictures {first} to {first + count - 1} are asked for, the clip has {len(clip)}")
    rows, columns = clip.mv_past_valid.shape[1:]
    flow = np.zeros((2, count - 1, 3, rows, columns), np.float32)
    for pair in range(count - 1):
        flow[0, pair] = neighbour_flow(clip, first + pair, first + pair + 1)
        flow[1, pair] = neighbour_flow(clip, first + pair + 1, first + pair)
    return flow


def neighbour_flow(clip: ParsedClip, index: int, target: int) -> np.ndarray:
    """Return the flow from picture `index` to picture `target` as float32 [3, r, c], see `codec_flow`.

    A block's own vectors tell it; those into other pictures than `target` are scaled by distance (constant speed), the
    list whose picture is nearest to `target` is taken. A picture that lost bits has no vectors of its own to trust: what
    other pictures' vectors say of it stands for them, and in the holes of pictures without many (intra pictures).
    """
    motion, valid = _own(clip, index, target)
    if valid.mean() < MOSTLY_TOLD:
        told = motion_from_vectors(clip, index, target)
        heard = ~valid & (told.weight >= FAINTEST_VOTE)
        motion = np.where(heard[..., None], told.motion, motion)
        valid = valid | heard
    field = np.concatenate((motion, valid[..., None]), -1) * valid[..., None]
    return np.ascontiguousarray(field.transpose(2, 0, 1), np.float32)


def _own(clip: ParsedClip, index: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion to `target` by the picture's own vectors, [r, c, 2] pixels, and where they tell it, bool [r, c]."""
    shape = clip.mv_past_valid.shape[1:]
    motion, nearest = np.zeros((*shape, 2), np.float32), np.full(shape, np.inf)
    if clip.status[index] in NOT_WHOLE:
        return motion, np.zeros(shape, bool)
    for steady, reference, known in steady_vectors(clip, index, target):
        away = np.where(known, np.abs(reference - target), np.inf)
        better = away < nearest
        motion = np.where(better[..., None], steady, motion)
        nearest = np.minimum(nearest, away)
    return motion, np.isfinite(nearest)
