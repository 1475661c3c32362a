"""Motion vectors as arrows: from each block to the place that it is predicted from."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.types import MISSING_REFERENCE, MV_BLOCK, ParsedClip
from b2scvr.write.inspection.canvas import Drawing, backdrop
from b2scvr.write.inspection.legend import SWATCH, Entry
from b2scvr.write.inspection.palette import FUTURE, PAST, Colour

DARK = (10, 120)  # greys of the backdrop
CROWDED_PX = 12  # arrows nearer to one another than this are drawn as one, the mean of theirs
AGREEING_PX = 0.5  # vectors of a macroblock that differ by no more are drawn as one
_SHIFT = 4  # fractional bits of OpenCV's coordinates
_BARB_PX, _STILL_PX = 4.5, 0.5
_MOST_NAMED = 4  # pictures in the words


def draw_vectors(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the vectors of picture `index`: one arrow an 8x8 cell, or a macroblock where its cells agree."""
    image = backdrop(clip.frames[index], scale, *DARK)
    words = []
    for name, colour, mv, valid, reference in (
        ("past", PAST, clip.mv_past[index], clip.mv_past_valid[index], clip.past_reference[index]),
        ("future", FUTURE, clip.mv_future[index], clip.mv_future_valid[index], clip.future_reference[index]),
    ):
        draw_arrows(image, *arrows(mv, valid, scale), colour, scale)
        if valid.any():
            words.append(_words(name, mv[valid], reference[valid]))
    return Drawing(image, vector_entries(), "; ".join(words) or "no vectors in this picture")


def vector_entries() -> list[Entry]:
    """Return the legend."""
    told = "arrow: from a block to where it is predicted from"
    return [
        Entry(f"past (list 0), {told}", _arrow_swatch(PAST)),
        Entry("future (list 1)", _arrow_swatch(FUTURE)),
    ]


def arrows(mv: np.ndarray, valid: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (tails, vectors), float32 [N, 2] each, (x, y) in picture pixels.

    mv: float32 [rows, columns, 2] pixels on the 8x8 grid, valid: bool [rows, columns]. Cells of a square are one arrow,
    their mean, in its middle: where all are valid and agree, or where they would be crowded at `scale`.
    """
    side = 2
    while side * MV_BLOCK * scale < CROWDED_PX:
        side *= 2
    crowded = MV_BLOCK * scale < CROWDED_PX
    rows, columns = (-(-n // side) for n in valid.shape)
    pad = ((0, rows * side - valid.shape[0]), (0, columns * side - valid.shape[1]))
    count = _squares(np.pad(valid, pad).astype(np.float32), side)
    total = _squares(np.pad(mv * valid[..., None], (*pad, (0, 0))), side).sum(axis=2)
    counted = count.sum(axis=2)
    mean = total / np.maximum(counted, 1)[..., None]
    spread = np.abs(np.pad(mv, (*pad, (0, 0))) - mean.repeat(side, 0).repeat(side, 1)).max(axis=2)
    agree = (counted == side**2) & (_squares(spread, side).max(axis=2) <= AGREEING_PX)
    as_one = counted > 0 if crowded else agree
    alone = valid & ~as_one.repeat(side, 0).repeat(side, 1)[: valid.shape[0], : valid.shape[1]]
    tails = np.concatenate([_centres(as_one, side * MV_BLOCK), _centres(alone, MV_BLOCK)])
    return tails, np.concatenate([mean[as_one], mv[alone]]).astype(np.float32)


def draw_arrows(image: np.ndarray, tails: np.ndarray, vectors: np.ndarray, colour: Colour, scale: float) -> None:
    """Draw arrows in place; tails and vectors as of `arrows`. A vector of length 0 is a dot."""
    if not len(tails):
        return
    start, step = tails * scale - 0.5, vectors * scale  # the middle of pixel 0 is 0 for OpenCV
    length = np.linalg.norm(step, axis=1, keepdims=True)
    along = step / np.maximum(length, 1e-6)
    across = along[:, ::-1] * (-1, 1)
    barb = np.minimum(_BARB_PX, length * 0.6)
    tip = start + step
    line = [start, tip, tip - barb * along + 0.55 * barb * across, tip, tip - barb * along - 0.55 * barb * across]
    points = np.rint(np.stack(line, axis=1) * 2**_SHIFT).astype(np.int32)
    moving = length[:, 0] > _STILL_PX
    cv2.polylines(image, list(points[moving]), False, colour, 1, cv2.LINE_AA, _SHIFT)
    for x, y in np.rint(start[~moving]).astype(int).tolist():
        cv2.circle(image, (x, y), 1, colour, -1)


def _squares(field: np.ndarray, side: int) -> np.ndarray:
    """[rows * side, columns * side, ...] -> [rows, columns, side * side, ...]."""
    rows, columns = field.shape[0] // side, field.shape[1] // side
    split = field.reshape(rows, side, columns, side, *field.shape[2:]).swapaxes(1, 2)
    return split.reshape(rows, columns, side * side, *field.shape[2:])


def _centres(chosen: np.ndarray, side: int) -> np.ndarray:
    """Return (x, y), float32 [N, 2], of the middles of the chosen squares of `side` pixels."""
    return (np.argwhere(chosen)[:, ::-1] + 0.5).astype(np.float32) * side


def _words(name: str, mv: np.ndarray, reference: np.ndarray) -> str:
    """Say how long the vectors of one list are and which pictures they mean."""
    length = float(np.median(np.linalg.norm(mv, axis=1)))
    told, counts = np.unique(reference[reference >= 0], return_counts=True)
    order = np.argsort(-counts)[:_MOST_NAMED]
    shares = [f"{told[i]} ({100 * counts[i] / len(reference):.0f} %)" for i in order]
    if len(told) > _MOST_NAMED:
        shares.append(f"{len(told) - _MOST_NAMED} more")
    if missing := int((reference == MISSING_REFERENCE).sum()):
        shares.append(f"pictures that are not in the stream ({100 * missing / len(reference):.0f} %)")
    source = f", from picture {', '.join(shares)}" if shares else ", from pictures that are not known"
    return f"{name}: {len(mv)} blocks, median {length:.1f} px{source}"


def _arrow_swatch(colour: Colour) -> np.ndarray:
    swatch = np.full((SWATCH, 2 * SWATCH, 3), 60, np.uint8)
    tail, vector = np.array([[5.0, SWATCH / 2 + 0.5]], np.float32), np.array([[2 * SWATCH - 10.0, 0.0]], np.float32)
    draw_arrows(swatch, tail, vector, colour, 1.0)
    return swatch
