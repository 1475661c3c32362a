"""Which macroblocks the decoder invented: from what FFmpeg's `debug=er` prints for a picture in which decoding failed.

The status of each macroblock comes as one message, hexadecimal, in raster order; bits 0x0E = AC, DC or MV damaged
(libavcodec/error_resilience.h). After printing, the decoder also distrusts slices that were read on into the next one, which
took the place of their end, and the macroblocks just before an error (about 50), and says how many it conceals in all:
"concealing N DC, N AC, N MV errors in T frame".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

DAMAGED_BITS = 0x0E
END_BITS = 0x70  # here the AC, DC or MV data of a slice end
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
    overrun: list[tuple[int, int]]  # (row, column) of the last macroblock of each slice that was read on into the next


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
        return Concealment(np.ones((rows, columns), bool), np.zeros((rows, columns), bool), [])
    status = np.array(codes[-rows * columns :], np.int64)
    total = max((max(int(n) for n in match.groups()) for match in reports), default=0)
    overrun = _overrun(status)
    ends = np.flatnonzero(overrun & ~np.append(overrun[1:], False))
    status[ends] |= DAMAGED_BITS  # wrong there at the latest
    damaged = (status & DAMAGED_BITS) > 0
    concealed = _extend_back(status, damaged, total) | overrun
    distrusted = concealed & ~damaged
    places = [(end // columns, end % columns) for end in ends.tolist()]
    return Concealment(concealed.reshape(rows, columns), distrusted.reshape(rows, columns), places)


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


def _overrun(status: np.ndarray) -> np.ndarray:
    """Which macroblocks belong to the rest of a slice that has neither an end nor an error ("overlapping slices"), bool [n]."""
    position, number = np.arange(len(status)), np.cumsum(status & SLICE_START_BIT)
    last = np.full(number[-1] + 1, -1)  # end or error of each slice
    ends = np.flatnonzero(status & (DAMAGED_BITS | END_BITS))
    np.maximum.at(last, number[ends], ends)
    return position > last[number]


def _extend_back(status: np.ndarray, damaged: np.ndarray, total: int) -> np.ndarray:
    """Add the macroblocks before each error that the decoder conceals too; with one run of errors `total` says how many."""
    starts = np.flatnonzero(np.diff(damaged.astype(np.int8), prepend=0) == 1)
    out = damaged.copy()
    before = max(0, total - int(damaged.sum())) if len(starts) == 1 else DISTRUSTED_BEFORE
    # A run of slices that are not there has the start bit: what is before it ended.
    for start in starts[status[starts] & SLICE_START_BIT == 0]:
        slice_starts = np.flatnonzero(status[:start] & SLICE_START_BIT)  # undecoded macroblocks have all bits set
        first = int(slice_starts[-1]) if slice_starts.size else 0
        out[max(first, start - before) : start] = True
    return out
