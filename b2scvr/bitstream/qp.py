"""Quantisation parameters of one picture from FFmpeg's `VIDEO_ENC_PARAMS` side data (AVVideoEncParams)."""

from __future__ import annotations

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
    out = np.full((rows, columns), UNKNOWN_QP, np.int8)
    if parameters is None or not parameters.nb_blocks:
        return out
    data = memoryview(parameters)  # type: ignore[arg-type]
    size, first = int(parameters.block_size), int(parameters.blocks_offset)
    block = np.dtype({"names": _FIELDS, "formats": ["<i4"] * len(_FIELDS), "itemsize": size})
    blocks = np.frombuffer(data, block, int(parameters.nb_blocks), first)
    row, column = blocks["y"] // MB_SIZE, blocks["x"] // MB_SIZE
    inside = (row < rows) & (column < columns)
    out[row[inside], column[inside]] = np.clip(parameters.qp + blocks["delta_qp"][inside], -1, 127)
    return out
