"""Constant velocity: a picture's motion to a picture next to it, told by how things move on the far side of either."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.fill.flow import extrapolate, optical_flow
from b2scvr.fill.vectors import NO_REFERENCE, SIDES, by_reference, filled, median_of_cells, picture_vectors
from b2scvr.types import MV_BLOCK, AccessUnitStatus, ParsedClip


def intact_beyond(clip: ParsedClip, index: int, anchor: int) -> int | None:
    """Return the intact picture beyond `anchor`, seen from `index`, that is about as far from it as `index` is; None: none."""
    side, gap = np.sign(anchor - index), abs(anchor - index)
    intact = np.flatnonzero(clip.status == AccessUnitStatus.INTACT)
    beyond = [int(slot) for slot in intact if (slot - anchor) * side > 0]
    return min(beyond, key=lambda slot: abs(abs(slot - anchor) - gap)) if beyond else None


def steady_motion(clip: ParsedClip, index: int, anchor: int, beyond: int) -> np.ndarray:
    """Return the motion from `index` to `anchor` if all moves on as from there to picture `beyond`, float32 [H, W, 2], pixels."""
    flow = optical_flow(clip.frames[anchor], clip.frames[beyond])
    return extrapolate(flow, (anchor - index) / (beyond - anchor))


def motion_along_vectors(clip: ParsedClip, index: int, anchor: int) -> np.ndarray | None:
    """Return the motion from `index` to `anchor` if all moves on as the vectors of `index` tell, float32 [H, W, 2], pixels.

    None where it has no vectors. Those that mean the picture itself (its other field) say nothing.
    """
    rows, columns = clip.mv_past_valid.shape[1:]
    total, count = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns), np.float32)
    for side in SIDES:
        vectors, reference = picture_vectors(clip, index, side)
        for other, blocks in by_reference(reference, (reference != NO_REFERENCE) & (reference != index)):
            total += vectors * blocks[..., None] * np.float32((anchor - index) / (other - index))
            count += blocks
    if not count.any():
        return None
    motion = median_of_cells(filled(total / np.maximum(count, 1)[..., None], count > 0))
    height, width = clip.frames.shape[1:3]
    size = columns * MV_BLOCK, rows * MV_BLOCK
    return cv2.resize(motion, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
