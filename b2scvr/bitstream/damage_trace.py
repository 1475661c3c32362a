"""Damage carried along vectors: which pictures depend on a broken one, and, softly, where."""

from __future__ import annotations

import numpy as np

from b2scvr.types import MV_BLOCK, AccessUnitStatus, ParsedClip, PictureType

REFERENCES_HELD = 4  # pictures of one direction that a vector may mean; x264's default is 3 references
REACH_LIMIT = 1e-3  # a trace below this touches no pixel


def trace_damage(clip: ParsedClip) -> None:
    """Fill `damage_trace` and turn INTACT into DEPENDENT in `clip.status`, in place.

    FFmpeg's records give the direction of a vector, not the picture that it means: the soft trace follows the nearest
    reference picture in that direction; the yes-or-no question (dependent?) asks all that the decoder may still hold.
    Without any vectors, every picture up to the next key picture counts as dependent.
    """
    t, rows, columns = clip.mode.shape
    grid = clip.mv_past_valid.shape[1:]
    soft = np.zeros((t, *grid), np.float32)
    reach = np.zeros((t, *grid), bool)
    held: list[int] = []
    has_vectors = bool(clip.mv_past_valid.any() or clip.mv_future_valid.any())
    for index in np.argsort(clip.decode_index, kind="stable"):
        if clip.is_key[index]:
            held = []
        past, future = _nearest(held, index, -1), _nearest(held, index, +1)
        if clip.status[index] in (AccessUnitStatus.BROKEN, AccessUnitStatus.LOST):
            own = np.repeat(np.repeat(clip.concealed[index], 2, axis=0), 2, axis=1)[: grid[0], : grid[1]]
            soft[index] = np.maximum(own, _carried(clip, index, soft, past[:1], future[:1]))
            reach[index] = True
        else:
            soft[index] = _carried(clip, index, soft, past[:1], future[:1])
            reach[index] = (
                _reached(clip, index, reach, past, future) if has_vectors else _follows(clip, index, reach, held)
            )
            if reach[index].any():
                clip.status[index] = AccessUnitStatus.DEPENDENT
        if clip.is_reference[index]:
            held = [*held, int(index)][-2 * REFERENCES_HELD :]
    pad = ((0, 0), (0, 2 * rows - grid[0]), (0, 2 * columns - grid[1]))
    clip.damage_trace[:] = np.pad(soft, pad, mode="edge").reshape(t, rows, 2, columns, 2).mean(axis=(2, 4))


def _follows(clip: ParsedClip, index: int, reach: np.ndarray, held: list[int]) -> bool:
    """Without vectors: whether picture `index` is predicted at all and something damaged may be held for it."""
    return clip.picture_type[index] != PictureType.I and bool(reach[held].any())


def _nearest(held: list[int], index: int, direction: int) -> list[int]:
    """Return the held display indices before (-1) or after (+1) `index`, nearest first."""
    side = [r for r in held if (r - index) * direction > 0]
    return sorted(side, key=lambda r: abs(r - index))[:REFERENCES_HELD]


def _carried(clip: ParsedClip, index: int, soft: np.ndarray, past: list[int], future: list[int]) -> np.ndarray:
    """Mean trace that the vectors of picture `index` bring in from their references, float32 on the 8x8 grid."""
    total, weight = np.zeros(soft.shape[1:], np.float32), np.zeros(soft.shape[1:], np.float32)
    for mv, valid, references in (
        (clip.mv_past[index], clip.mv_past_valid[index], past),
        (clip.mv_future[index], clip.mv_future_valid[index], future),
    ):
        if references and soft[references[0]].any():
            total += valid * _sample(soft[references[0]], mv)
        weight += valid
    return total / np.maximum(weight, 1)


def _reached(clip: ParsedClip, index: int, reach: np.ndarray, past: list[int], future: list[int]) -> np.ndarray:
    out = np.zeros(reach.shape[1:], bool)
    for mv, valid, references in (
        (clip.mv_past[index], clip.mv_past_valid[index], past),
        (clip.mv_future[index], clip.mv_future_valid[index], future),
    ):
        for reference in references:
            if reach[reference].all():
                out |= valid
            elif reach[reference].any():
                out |= valid & (_sample(reach[reference].astype(np.float32), mv) > REACH_LIMIT)
    return out


def _sample(field: np.ndarray, mv: np.ndarray) -> np.ndarray:
    """Read `field` [rows, columns] of 8x8 cells where the vectors `mv` (pixels) point, bilinear, clamped at the border."""
    rows, columns = field.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y = np.clip(y + mv[..., 1] / MV_BLOCK, 0, rows - 1)
    x = np.clip(x + mv[..., 0] / MV_BLOCK, 0, columns - 1)
    y0, x0 = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    y1, x1 = np.minimum(y0 + 1, rows - 1), np.minimum(x0 + 1, columns - 1)
    fy, fx = y - y0, x - x0
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    bottom = field[y1, x0] * (1 - fx) + field[y1, x1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)
