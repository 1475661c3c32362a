"""FFmpeg's `AVMotionVector` records of one picture -> dense displacement fields.

`dst_x`, `dst_y` is the block's CENTRE; `motion_x / motion_scale` is the displacement in pixels from the block to its
reference; the sign of `source` says which list (negative: past, list 0; positive: future, list 1).
"""

from __future__ import annotations

import numpy as np

from b2scvr.types import MV_BLOCK


def dense_vectors(
    records: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (past, past_valid, future, future_valid) on the 8x8 grid.

    records: structured array of AVMotionVector (may be empty). Fields are float32 [ceil(H/8), ceil(W/8), 2], (x, y) in
    pixels, current block -> reference, zero where not valid; valid is bool [ceil(H/8), ceil(W/8)]. Blocks smaller than a
    cell are averaged over it.
    """
    rows, columns = -(-height // MV_BLOCK), -(-width // MV_BLOCK)
    past, past_valid = _paint(records[records["source"] < 0], rows, columns)
    future, future_valid = _paint(records[records["source"] > 0], rows, columns)
    return past, past_valid, future, future_valid


def _paint(records: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    total = np.zeros((rows * columns, 2), np.float64)
    count = np.zeros(rows * columns, np.int64)
    scale = np.maximum(records["motion_scale"].astype(np.float64), 1)
    vectors = np.stack([records["motion_x"] / scale, records["motion_y"] / scale], axis=-1)
    left = records["dst_x"].astype(np.int64) - records["w"] // 2
    top = records["dst_y"].astype(np.int64) - records["h"] // 2
    for block_w, block_h in {(int(w), int(h)) for w, h in zip(records["w"], records["h"], strict=True)}:
        chosen = (records["w"] == block_w) & (records["h"] == block_h)
        for dy in range(max(1, block_h // MV_BLOCK)):
            for dx in range(max(1, block_w // MV_BLOCK)):
                row, column = top[chosen] // MV_BLOCK + dy, left[chosen] // MV_BLOCK + dx
                inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                cell = (row * columns + column)[inside]
                count += np.bincount(cell, minlength=rows * columns)
                for axis in (0, 1):
                    weights = vectors[chosen][inside, axis]
                    total[:, axis] += np.bincount(cell, weights=weights, minlength=rows * columns)
    mean = total / np.maximum(count, 1)[:, None]
    return mean.reshape(rows, columns, 2).astype(np.float32), (count > 0).reshape(rows, columns)
