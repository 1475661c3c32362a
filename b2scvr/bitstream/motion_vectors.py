"""FFmpeg's `AVMotionVector` records of one picture -> dense displacement fields.

`dst_x`, `dst_y` is the block's CENTRE; `motion_x / motion_scale` is the displacement in pixels from the block to its
reference; the sign of `source` says which list (negative: past, list 0; positive: future, list 1).
"""

from __future__ import annotations

import numpy as np

from b2scvr.types import MV_BLOCK

LARGEST_BLOCK = 16  # pixels on a side, of the codecs that export vectors
_REACH = LARGEST_BLOCK // MV_BLOCK  # cells that a block covers at most, down and across


def dense_vectors(
    records: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (past, past_valid, future, future_valid) on the 8x8 grid.

    records: structured array of AVMotionVector (may be empty). Fields are float32 [ceil(H/8), ceil(W/8), 2], (x, y) in
    pixels, current block -> reference, zero where not valid; valid is bool [ceil(H/8), ceil(W/8)]. Blocks smaller than a
    cell are averaged over it.
    """
    rows, columns = -(-height // MV_BLOCK), -(-width // MV_BLOCK)
    vectors, valid = _paint(records, rows, columns)
    return vectors[0], valid[0], vectors[1], valid[1]


def _paint(records: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors [2, rows, columns, 2] and validity [2, rows, columns], past and future.

    First each cell gets the number of the record that it belongs to (0: none), then its vector is looked up. Cells beyond
    the picture, on all sides, take what blocks have there: they are cut off in the end.
    """
    source = np.ascontiguousarray(records["source"])
    if not source.all():
        records, source = records[source != 0], source[source != 0]
    block_w, block_h = np.ascontiguousarray(records["w"]), np.ascontiguousarray(records["h"])
    table = np.zeros((len(records) + 1, 2), np.float32)
    scale = np.maximum(records["motion_scale"], 1).astype(np.float32)
    for axis, name in enumerate(("motion_x", "motion_y")):
        np.divide(records[name].astype(np.float32), scale, out=table[1:, axis])
    row = _cell_number(records["dst_y"], block_h, rows)
    column = _cell_number(records["dst_x"], block_w, columns)
    stride = columns + 2 * _REACH
    size = (rows + 2 * _REACH) * stride
    cell = (source > 0) * size + row * stride + column
    number = np.arange(1, len(records) + 1)
    owner = np.zeros(2 * size, np.intp)
    owner[cell] = number
    wide, tall = block_w > MV_BLOCK, block_h > MV_BLOCK
    for covered, step in ((wide, 1), (tall, stride), (wide & tall, stride + 1)):
        chosen = covered.nonzero()[0]
        owner[cell[chosen] + step] = number[chosen]
    # A vector is two numbers of 32 bits: as one of 64 it is looked up at once.
    total = table.view(np.int64)[:, 0].take(owner).view(np.float32).reshape(-1, 2)
    small = (np.minimum(block_h, block_w) < MV_BLOCK).nonzero()[0]
    if len(small):
        _average(records[small], cell[small], table[1 + small], total)
    inside = slice(None), slice(_REACH, -_REACH), slice(_REACH, -_REACH)
    shape = 2, rows + 2 * _REACH, stride
    return total.reshape(*shape, 2)[inside], (owner > 0).reshape(shape)[inside]


def _cell_number(centre: np.ndarray, size: np.ndarray, count: int) -> np.ndarray:
    """Return the row or column of each block's first cell, counted from the cells beyond the picture on."""
    first = (centre.astype(np.intp) - (size >> 1)) // MV_BLOCK
    return np.minimum(np.maximum(first, -_REACH), count) + _REACH


def _average(records: np.ndarray, cell: np.ndarray, vectors: np.ndarray, out: np.ndarray) -> None:
    """Put the mean of the small blocks of each cell into `out`, weighted by their area."""
    area = records["w"].astype(np.float64) * records["h"]
    weight = np.bincount(cell, area)
    touched = np.flatnonzero(weight)
    for axis in (0, 1):
        out[touched, axis] = np.bincount(cell, area * vectors[:, axis])[touched] / weight[touched]
