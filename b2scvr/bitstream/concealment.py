"""Which macroblocks the decoder invented: from what FFmpeg's `debug=er` prints for a picture in which decoding failed.

The status of each macroblock comes as one message, hexadecimal, in raster order; bits 0x0E = AC, DC or MV damaged
(libavcodec/error_resilience.h). After printing, the decoder also distrusts the macroblocks just before an error (about 50)
and says how many it conceals in all: "concealing N DC, N AC, N MV errors in T frame".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

DAMAGED_BITS = 0x0E
SLICE_START_BIT = 0x01
DISTRUSTED_BEFORE = 49  # macroblocks before an error that FFmpeg conceals too (ff_er_frame_end, threshold 50)
_CONCEALING = re.compile(r"concealing (\d+) DC, (\d+) AC, (\d+) MV errors")
_NOTICED = re.compile(r"error while decoding MB (\d+) (\d+)")
_BYTES_LEFT = re.compile(r"error while decoding MB \d+ \d+, bytestream (-?\d+)")
_STATUS = re.compile(r"^ ?([0-9A-F]{1,2}) $")
_LONGEST_STATUS = 5  # characters; there are as many of these messages as macroblocks


@dataclass(frozen=True)
class Concealment:
    """What the decoder concealed of one picture; both bool [h, w]."""

    concealed: np.ndarray
    distrusted: np.ndarray  # what of that it had decoded before, without an error


def concealment_from_log(messages: list[str], rows: int, columns: int) -> Concealment | None:
    """Return what the decoder concealed; None when the messages report no failure.

    When a failure is reported but the status list is not complete, the whole picture counts as concealed: it is better to
    distrust good macroblocks than to trust invented ones.
    """
    reports = _reports(messages)
    codes = [int(match[1], 16) for m in messages if len(m) <= _LONGEST_STATUS and (match := _STATUS.match(m))]
    if not reports and not codes:
        return None
    if len(codes) < rows * columns:
        return Concealment(np.ones((rows, columns), bool), np.zeros((rows, columns), bool))
    status = np.array(codes[-rows * columns :], np.int64)
    total = max((max(int(n) for n in match.groups()) for match in reports), default=0)
    concealed = _extend_back(status, total)
    damaged = (status & DAMAGED_BITS) > 0
    return Concealment(concealed.reshape(rows, columns), (concealed & ~damaged).reshape(rows, columns))


def noticed_in_log(messages: list[str]) -> list[tuple[int, int]]:
    """Return (row, column) of each macroblock in which the entropy decoder noticed an error."""
    told = (_NOTICED.search(message) for message in messages if len(message) > _LONGEST_STATUS)
    return [(int(match[2]), int(match[1])) for match in told if match]


def is_exhausted(messages: list[str]) -> bool:
    """Whether all that the CABAC decoder noticed was that it had read on behind the end of a slice.

    "error while decoding MB X Y, bytestream N": N bytes were left. The CAVLC decoder does not say how many.
    """
    left = [match[1] for m in messages if len(m) > _LONGEST_STATUS and (match := _BYTES_LEFT.search(m))]
    return bool(left) and all(int(count) < 0 for count in left)


def concealed_count(messages: list[str]) -> int:
    """Return how many macroblocks the decoder says it conceals, without their places (no `debug=er` needed)."""
    return max((max(map(int, match.groups())) for match in _reports(messages)), default=0)


def _reports(messages: list[str]) -> list[re.Match[str]]:
    return [match for m in messages if len(m) > _LONGEST_STATUS and (match := _CONCEALING.search(m))]


def _extend_back(status: np.ndarray, total: int) -> np.ndarray:
    """Add the macroblocks before each error that the decoder conceals too; with one run of errors `total` says how many."""
    damaged = (status & DAMAGED_BITS) > 0
    starts = np.flatnonzero(np.diff(damaged.astype(np.int8), prepend=0) == 1)
    out = damaged.copy()
    before = max(0, total - int(damaged.sum())) if len(starts) == 1 else DISTRUSTED_BEFORE
    for start in starts:
        slice_starts = np.flatnonzero(status[:start] & SLICE_START_BIT)  # undecoded macroblocks have all bits set
        first = int(slice_starts[-1]) if slice_starts.size else 0
        out[max(first, start - before) : start] = True
    return out
