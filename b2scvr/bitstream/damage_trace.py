"""Damage carried along vectors and references: which pictures depend on a broken one, and, softly, where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from b2scvr.types import (
    MISSING_REFERENCE,
    MV_BLOCK,
    NOT_WHOLE,
    UNKNOWN_REFERENCE,
    AccessUnitStatus,
    ParsedClip,
    PictureType,
)

REFERENCES_HELD = 4  # pictures of one direction that a vector of unknown reference may mean; x264's default is 3
MOST_HELD = 16  # reference frames that a decoder holds at most (H.264 A.3.1)
TAPS_BEFORE, TAPS_BEHIND = 2, 3  # samples around a block that the six-tap filter reads (H.264 8.4.2.2.1)


def trace_damage(clip: ParsedClip, doubted: np.ndarray | None = None, known: Sequence[np.ndarray] = ()) -> None:
    """Fill `damage_trace` and turn INTACT into DEPENDENT in `clip.status`, in place.

    doubted: bool [T], pictures that count as dependent for reasons of their own: anything in them may be wrong. known: the
    traces of the first pictures, float32 [h, w] each, which carry them on whatever they predict from themselves.

    Where the picture that a vector means is unknown, the soft trace follows the nearest reference picture in the vector's
    direction, and the yes-or-no question (dependent?) asks all that the decoder may still hold. A vector into a picture
    that the stream does not hold carries full damage, and so does every picture before the first intra picture of a stream
    that lost its start. Without any vectors, every picture up to the next key picture counts
    as dependent.
    """
    t, rows, columns = clip.mode.shape
    grid = clip.mv_past_valid.shape[1:]
    missing = (clip.past_reference == MISSING_REFERENCE).any() or (clip.future_reference == MISSING_REFERENCE).any()
    rootless = _before_first_intra(clip)
    if not missing and not rootless.any() and (clip.status == AccessUnitStatus.INTACT).all():
        return
    soft = np.zeros((t, *grid), np.float32)
    reach = np.zeros((t, *grid), bool)
    before, held = list[int](), list[int]()
    has_vectors = bool(clip.mv_past_valid.any() or clip.mv_future_valid.any())
    doubted = np.zeros(t, np.bool_) if doubted is None else doubted
    for index, key in clip.in_decoding_order():
        if index == key:
            before, held = held, []
        everything = [*before, *held]
        # What is shown before a key picture may mean what was before that; what is shown after it, nothing shown before,
        # unless a reference is told (behind a garbage header, what follows an IDR picture can be shown before it).
        possible = [h for h in held if h >= key] if index >= key else everything
        if index < len(known):
            soft[index], reach[index] = _on_grid(known[index], grid), doubted[index]
        else:
            soft[index] = _carried(clip, index, soft, everything, possible)
        if clip.status[index] in NOT_WHOLE:
            soft[index] = np.maximum(_on_grid(clip.concealed[index], grid), soft[index])
            reach[index] = True
        elif rootless[index]:
            soft[index], reach[index], clip.status[index] = 1, True, AccessUnitStatus.DEPENDENT
        else:
            if has_vectors:
                reach[index] = _reached(clip, index, reach, everything, possible)
            else:
                reach[index] = _follows(clip, index, reach, possible)
            reach[index] |= doubted[index]
            if reach[index].any():
                clip.status[index] = AccessUnitStatus.DEPENDENT
        if clip.is_reference[index]:
            held = [*held, index][-MOST_HELD:]
    pad = ((0, 0), (0, 2 * rows - grid[0]), (0, 2 * columns - grid[1]))
    clip.damage_trace[:] = np.pad(soft, pad, mode="edge").reshape(t, rows, 2, columns, 2).mean(axis=(2, 4))


def _on_grid(values: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Values of macroblocks [h, w] on the 8x8 `grid` (rows, columns)."""
    return values.repeat(2, 0).repeat(2, 1)[: grid[0], : grid[1]]


def _before_first_intra(clip: ParsedClip) -> np.ndarray:
    """Which pictures are predicted although the stream holds nothing yet to predict from (it lost its start), bool [T]."""
    order = np.argsort(clip.decode_index, kind="stable")
    intra = np.cumsum(clip.picture_type[order] == PictureType.I) > 0
    out = np.zeros(len(order), bool)
    out[order] = ~intra & np.isin(clip.picture_type[order], (PictureType.P, PictureType.B))
    return out


def _follows(clip: ParsedClip, index: int, reach: np.ndarray, held: list[int]) -> bool:
    """Without vectors: whether picture `index` is predicted at all and something damaged may be held for it."""
    return clip.picture_type[index] != PictureType.I and bool(reach[held].any())


def _sides(clip: ParsedClip, index: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Yield vectors, validity, references and the direction of display (-1 past) of each list of a picture."""
    yield clip.mv_past[index], clip.mv_past_valid[index], clip.past_reference[index], -1
    yield clip.mv_future[index], clip.mv_future_valid[index], clip.future_reference[index], +1


def _nearest(held: list[int], index: int, direction: int) -> list[int]:
    """Return the held display indices before (-1) or after (+1) `index`, nearest first."""
    side = [r for r in held if (r - index) * direction > 0]
    return sorted(side, key=lambda r: abs(r - index))[:REFERENCES_HELD]


def _carried(clip: ParsedClip, index: int, soft: np.ndarray, held: list[int], possible: list[int]) -> np.ndarray:
    """Mean trace that the vectors of picture `index` bring in from their references, float32 on the 8x8 grid.

    held: what references that are told may be; possible: those that unknown ones may be.
    """
    total, weight = np.zeros(soft.shape[1:], np.float32), np.zeros(soft.shape[1:], np.float32)
    for mv, valid, references, direction in _sides(clip, index):
        total += valid & (references == MISSING_REFERENCE)
        weight += valid
        likely = _nearest(possible, index, direction)[:1]
        for reference, where in _by_reference(valid, references, likely, _traced(soft, held)):
            total[where] += _sample(soft[reference], mv, where)
    return total / np.maximum(weight, 1)


def _reached(clip: ParsedClip, index: int, reach: np.ndarray, held: list[int], possible: list[int]) -> np.ndarray:
    """Which blocks read a damaged sample of a reference, bool on the 8x8 grid; held, possible: see `_carried`."""
    out = np.zeros(reach.shape[1:], bool)
    for mv, valid, references, direction in _sides(clip, index):
        out |= valid & (references == MISSING_REFERENCE)
        for reference, where in _by_reference(
            valid, references, _nearest(possible, index, direction), _traced(reach, held)
        ):
            if reach[reference].all():
                out |= where
            else:
                out[where] |= _touches(reach[reference], mv, where)
    return out


def _traced(field: np.ndarray, held: list[int]) -> list[int]:
    """The held pictures in which anything is damaged."""
    return [reference for reference in held if field[reference].any()]


def _by_reference(
    valid: np.ndarray, references: np.ndarray, possible: list[int], traced: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each of the `traced` references with the blocks that mean it.

    Blocks whose reference is unknown may mean any of the `possible`.
    """
    for reference in traced:
        where = valid & (references == reference)
        if reference in possible:
            where |= valid & (references == UNKNOWN_REFERENCE)
        if where.any():
            yield reference, where


def _sample(field: np.ndarray, mv: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Read `field` [rows, columns] of 8x8 cells where the vectors of the blocks `where` point, bilinear, clamped; float32 [n]."""
    rows, columns = field.shape
    row, column = np.nonzero(where)
    y = np.clip(row + mv[where][:, 1] / MV_BLOCK, 0, rows - 1)
    x = np.clip(column + mv[where][:, 0] / MV_BLOCK, 0, columns - 1)
    y0, x0 = y.astype(np.int64), x.astype(np.int64)
    y1, x1 = np.minimum(y0 + 1, rows - 1), np.minimum(x0 + 1, columns - 1)
    fy, fx = y - y0, x - x0
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    bottom = field[y1, x0] * (1 - fx) + field[y1, x1] * fx
    return (top * (1 - fy) + bottom * fy).astype(np.float32)


def _touches(damaged: np.ndarray, mv: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Whether each block of `where` reads a sample of a damaged cell, the taps of interpolation included; bool [n]."""
    rows, columns = damaged.shape
    total = np.zeros((rows + 1, columns + 1), np.int64)  # summed area table
    total[1:, 1:] = damaged.cumsum(axis=0).cumsum(axis=1)
    first, last = [], []
    for cell, vector, size in zip(np.nonzero(where), mv[where].T[::-1], (rows, columns), strict=True):
        start = cell * MV_BLOCK + np.floor(vector).astype(np.int64)
        whole = vector == np.floor(vector)
        first.append(np.clip((start - np.where(whole, 0, TAPS_BEFORE)) // MV_BLOCK, 0, size - 1))
        reach = MV_BLOCK - 1 + np.where(whole, 0, TAPS_BEHIND)
        last.append(np.clip((start + reach) // MV_BLOCK, 0, size - 1) + 1)
    (top, left), (bottom, right) = first, last
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0
