"""Quantisation parameters of one picture from FFmpeg's `VIDEO_ENC_PARAMS` side data (AVVideoEncParams)."""

from __future__ import annotations

import functools

import numpy as np
from av.sidedata.encparams import VideoEncParams

from b2scvr.types import MB_SIZE

_FIELDS = ["x", "y", "w", "h", "delta_qp"]  # of AVVideoBlockParams, 32 bits each
UNKNOWN_QP = -1


def dense_qp(parameters: VideoEncParams | None, height: int, width: int) -> np.ndarray:
    """Return the QP of each macroblock, int8 [ceil(H/16), ceil(W/16)], UNKNOWN_QP where nothing was told.

    H.264 tells one block a macroblock; blocks of other sizes give the macroblock of their upper left corner.
    """
    rows, columns = -(-height // MB_SIZE), -(-width // MB_SIZE)
    out = np.full((rows + 1, columns + 1), UNKNOWN_QP, np.int8)  # what is not shown goes beyond the last row and column
    if parameters is not None and parameters.nb_blocks:
        data = memoryview(parameters)  # type: ignore[arg-type]
        kind = _block(int(parameters.block_size))
        blocks = np.frombuffer(data, kind, int(parameters.nb_blocks), int(parameters.blocks_offset))
        row, column = np.minimum(blocks["y"] // MB_SIZE, rows), np.minimum(blocks["x"] // MB_SIZE, columns)
        out.reshape(-1)[row * (columns + 1) + column] = np.clip(parameters.qp + blocks["delta_qp"], -1, 127)
    return out[:rows, :columns]


@functools.lru_cache(maxsize=16)
def _block(size: int) -> np.dtype:
    return np.dtype({"names": _FIELDS, "formats": ["<i4"] * len(_FIELDS), "itemsize": size})
