"""Macroblock modes: from the rows that FFmpeg's `debug=mb_type` prints, or, failing that, from vectors.

A row is the line's y in pixels and three characters a macroblock: type, partition, interlace flag
(libavcodec/mpegutils.c, `get_type_mv_char` and its neighbours): `>` is list 0 only, `<` list 1 only.
"""

from __future__ import annotations

import re

import numpy as np

from b2scvr.types import Partition, PredictionMode

_MODE_OF = {
    "P": PredictionMode.PCM,
    "A": PredictionMode.INTRA_NXN,
    "i": PredictionMode.INTRA_NXN,
    "I": PredictionMode.INTRA_16X16,
    "d": PredictionMode.DIRECT,
    "D": PredictionMode.DIRECT,
    "S": PredictionMode.SKIP,
    "g": PredictionMode.SKIP,
    ">": PredictionMode.PAST,
    "<": PredictionMode.FUTURE,
    "X": PredictionMode.BOTH,
}
_PARTITION_OF = {"+": Partition.QUARTERS, "-": Partition.ROWS, "|": Partition.COLUMNS}
_MODE_TABLE, _PARTITION_TABLE = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
for _character, _mode in _MODE_OF.items():
    _MODE_TABLE[ord(_character)] = _mode
for _character, _partition in _PARTITION_OF.items():
    _PARTITION_TABLE[ord(_character)] = _partition
_ROW = re.compile(r"^ *(\d+) ([^\n]*)\n?$")
_NUMBERS = re.compile(r"[0-9 ]*")  # the line of columns above the rows
HEADER = "New frame, type:"


def modes_from_log(messages: list[str], rows: int, columns: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (mode, partition), uint8 [h, w], from the messages after a HEADER; None when a row is missing or malformed."""
    lines: dict[int, str] = {}
    for message in messages:
        match = _ROW.match(message)
        if not match or len(match[2]) < 3 * columns - 2:
            continue
        y = int(match[1])
        if y % 16 or y // 16 >= rows or _NUMBERS.fullmatch(match[2].strip()):
            continue
        lines[y // 16] = match[2].ljust(3 * columns)[: 3 * columns]
    if len(lines) != rows:
        return None
    text = "".join(lines[row] for row in range(rows)).encode("latin-1", "replace")
    cells = np.frombuffer(text, np.uint8).reshape(rows, columns, 3)
    return _MODE_TABLE[cells[..., 0]], _PARTITION_TABLE[cells[..., 1]]


def modes_from_vectors(past_valid: np.ndarray, future_valid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return mode, uint8 [h, w], from the validity of the dense vectors [2h or 2h-1, 2w or 2w-1]; no vector reads as intra."""
    pad = ((0, 2 * rows - past_valid.shape[0]), (0, 2 * columns - past_valid.shape[1]))
    past = np.pad(past_valid, pad).reshape(rows, 2, columns, 2).any(axis=(1, 3))
    future = np.pad(future_valid, pad).reshape(rows, 2, columns, 2).any(axis=(1, 3))
    mode = np.full((rows, columns), PredictionMode.INTRA_16X16, np.uint8)
    mode[past], mode[future], mode[past & future] = PredictionMode.PAST, PredictionMode.FUTURE, PredictionMode.BOTH
    return mode
