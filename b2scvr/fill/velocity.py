"""Constant velocity: a picture's motion to a picture next to it, told by how things move on the far side of either."""

from __future__ import annotations

import numpy as np

from b2scvr.fill.flow import extrapolate, optical_flow
from b2scvr.fill.vectors import enlarged, filled, median_of_cells, steady_vectors
from b2scvr.types import AccessUnitStatus, ParsedClip


def intact_beyond(clip: ParsedClip, index: int, anchor: int) -> int | None:
    """Return the intact picture beyond `anchor`, seen from `index`, that is about as far from it as `index` is; None: none."""
    side, gap = np.sign(anchor - index), abs(anchor - index)
    intact = np.flatnonzero(clip.status == AccessUnitStatus.INTACT)
    beyond = [int(slot) for slot in intact if (slot - anchor) * side > 0]
    return min(beyond, key=lambda slot: abs(abs(slot - anchor) - gap)) if beyond else None


def steady_motion(clip: ParsedClip, index: int, anchor: int, other: int) -> np.ndarray:
    """Return the motion from `index` to `anchor` if all moves as between there and picture `other`, float32 [H, W, 2], pixels.

    other: beyond the anchor, or on the other side of `index`.
    """
    flow = optical_flow(clip.frames[anchor], clip.frames[other])
    return extrapolate(flow, (anchor - index) / (other - anchor))


def motion_along_vectors(clip: ParsedClip, index: int, anchor: int) -> np.ndarray | None:
    """Return the motion from `index` to `anchor` if all moves on as the vectors of `index` tell, float32 [H, W, 2], pixels.

    Of two lists their mean; None where it has no vectors.
    """
    rows, columns = clip.mv_past_valid.shape[1:]
    total, count = np.zeros((rows, columns, 2), np.float32), np.zeros((rows, columns), np.float32)
    for motion, _, known in steady_vectors(clip, index, anchor):
        total += motion * known[..., None]
        count += known
    if not count.any():
        return None
    mean = median_of_cells(filled(total / np.maximum(count, 1)[..., None], count > 0))
    return enlarged(mean, *clip.frames.shape[1:3])
