"""FFmpeg's `AVMotionVector` records of one picture -> dense displacement fields.

`dst_x`, `dst_y` is the block's CENTRE; `motion_x / motion_scale` is the displacement in pixels from the block to its
reference; the sign of `source` says which list (negative: past, list 0; positive: future, list 1).
"""

from __future__ import annotations

import numpy as np

from b2scvr.types import MV_BLOCK

LARGEST_BLOCK = 16  # pixels on a side, of the codecs that export vectors


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
    """Return vectors [2, rows, columns, 2] and validity [2, rows, columns], past and future."""
    total, valid = np.zeros((2 * rows * columns, 2), np.float32), np.zeros(2 * rows * columns, bool)
    if len(records):
        block_w, block_h = records["w"].astype(np.int32), records["h"].astype(np.int32)
        row = (records["dst_y"] - block_h // 2) // MV_BLOCK
        column = (records["dst_x"] - block_w // 2) // MV_BLOCK
        scale = np.maximum(records["motion_scale"], 1).astype(np.float32)
        vectors = np.stack([records["motion_x"] / scale, records["motion_y"] / scale], axis=-1)
        cell = np.where(records["source"] > 0, rows * columns, 0) + row * columns + column
        for down in range(LARGEST_BLOCK // MV_BLOCK):
            for right in range(LARGEST_BLOCK // MV_BLOCK):
                covered = (block_h > down * MV_BLOCK) & (block_w > right * MV_BLOCK) & (records["source"] != 0)
                covered &= (row >= -down) & (row < rows - down) & (column >= -right) & (column < columns - right)
                at = (cell + down * columns + right)[covered]
                total[at], valid[at] = vectors[covered], True
        small = (block_h < MV_BLOCK) | (block_w < MV_BLOCK)
        if small.any():
            small &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            _average(records[small], cell[small], vectors[small], total)
    return total.reshape(2, rows, columns, 2), valid.reshape(2, rows, columns)


def _average(records: np.ndarray, cell: np.ndarray, vectors: np.ndarray, out: np.ndarray) -> None:
    """Put the mean of the small blocks of each cell into `out`, weighted by their area."""
    area = records["w"].astype(np.float64) * records["h"]
    weight = np.bincount(cell, area, len(out))
    for axis in (0, 1):
        mean = np.bincount(cell, area * vectors[:, axis], len(out))
        out[weight > 0, axis] = mean[weight > 0] / weight[weight > 0]
