"""Which access unit of the clean stream one of its damaged copy is: exact, where align.py can only judge by content.

Pictures do not tell: after a lost access unit the next ones are predicted from older pictures and look like their own
predecessors. But damage leaves most access units as they are, byte for byte, and the cut ones between them keep their order.
"""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np

from b2scvr.bitstream.assembly import CodedClip


def align_clips(damaged: CodedClip, clean: CodedClip) -> np.ndarray | None:
    """Return int [N]: the display index in `clean` of each of the N pictures of `damaged`, in display order.

    None where that cannot be told: the damaged stream holds more access units than the clean one between two that are
    the same.
    """
    units = align_units(damaged.access_units, clean.access_units)
    if units is None:
        return None
    slot_of_unit = np.empty(len(clean.clip), np.int64)
    slot_of_unit[clean.clip.decode_index] = np.arange(len(clean.clip))
    return slot_of_unit[units[damaged.clip.decode_index]]


def align_units(damaged: list[bytes], clean: list[bytes]) -> np.ndarray | None:
    """Return int [N], ascending: the number in `clean` of each access unit of `damaged`, both in decoding order.

    Equal ones belong together (longest common subsequence); those between them go, in order, to the clean ones that they
    share most bytes with at their start and end. None as in `align_clips`.
    """
    found = np.full(len(damaged), -1)
    matcher = SequenceMatcher(None, damaged, clean, autojunk=False)
    for kind, first, end, clean_first, clean_end in matcher.get_opcodes():
        if kind == "equal":
            found[first:end] = np.arange(clean_first, clean_end)
        elif end - first > clean_end - clean_first:
            return None
        elif first < end:
            likeness = [[_shared(a, b) for b in clean[clean_first:clean_end]] for a in damaged[first:end]]
            found[first:end] = clean_first + _ascending(np.array(likeness))
    return found


def slots_by_index(indices: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of `count` places the picture that stands there, int [count], and whether it only stands in.

    indices: the place of each picture, no two the same. At a place without one the picture before it stands in, at the
    start the first.
    """
    chosen = np.full(count, -1)
    chosen[indices] = np.arange(len(indices))
    missing = chosen < 0
    shown = np.where(missing, 0, np.arange(count))
    before = np.maximum.accumulate(shown)
    first = int(np.argmin(missing))
    return chosen[np.where(np.arange(count) < first, first, before)], missing


def _shared(a: bytes, b: bytes) -> int:
    """Bytes in common at the end, and twice those at the start: of two that were fused, the decoder follows the first."""
    start = _common_start(a, b)
    return 2 * start + _common_start(a[start:][::-1], b[start:][::-1])


def _common_start(a: bytes, b: bytes) -> int:
    length = min(len(a), len(b))
    differs = np.frombuffer(a, np.uint8, length) != np.frombuffer(b, np.uint8, length)
    return int(differs.argmax()) if differs.any() else length


def _ascending(likeness: np.ndarray) -> np.ndarray:
    """Return the ascending columns, one for each row, with the greatest sum of `likeness` [rows, columns]."""
    rows, columns = likeness.shape
    best = np.full((rows + 1, columns + 1), -np.inf)
    best[0] = 0
    for row in range(rows):
        best[row + 1, 1:] = np.maximum.accumulate(best[row, :-1] + likeness[row])
    chosen, column = np.empty(rows, np.int64), columns
    for row in range(rows - 1, -1, -1):
        while column > row + 1 and best[row + 1, column - 1] == best[row + 1, column]:
            column -= 1
        column -= 1
        chosen[row] = column
    return chosen
