"""Which picture each motion vector means, from the reference lists and the decoder's answers to the probe."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2scvr.bitstream.probe import PLANES, Answer, Lists, offsets
from b2scvr.bitstream.reference_lists import SliceReferences
from b2scvr.types import UNKNOWN_REFERENCE, AccessUnitStatus, ParsedClip


def add_references(clip: ParsedClip, references: list[list[SliceReferences]], answers: list[Answer]) -> None:
    """Fill `past_reference` and `future_reference` of a clip, in place. references, answers: by decode index.

    Pictures whose references are uncertain count as dependent: they may be predicted from the wrong pictures.
    """
    slots = np.argsort(clip.decode_index)
    found = read_references(references, answers, clip.mv_past_valid[slots], clip.mv_future_valid[slots])
    for out, pictures in zip((clip.past_reference, clip.future_reference), found, strict=True):
        known = pictures >= 0
        out[slots] = np.where(known, slots[np.where(known, pictures, 0)], pictures)
    for index, slices in enumerate(references):
        if clip.status[slots[index]] == AccessUnitStatus.INTACT and any(s.uncertain for s in slices):
            clip.status[slots[index]] = AccessUnitStatus.DEPENDENT


def read_references(
    references: list[list[SliceReferences]], answers: list[Answer], past_valid: np.ndarray, future_valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the decode index of the picture that each vector means, (list 0, list 1), int16 [T, H/8, W/8].

    All arguments in decoding order; past_valid, future_valid: bool [T, ceil(H/8), ceil(W/8)], where the pictures have
    vectors of list 0 and of list 1. MISSING_REFERENCE stands for a picture that the stream does not hold. Where a list
    holds one picture only, that is the answer; else it is right unless the residual of an 8x8 block moves its mean by more
    than half the distance between two offsets in two planes of three. References of field pictures and MBAFF frames stay
    unknown.
    """
    past = np.full(past_valid.shape, UNKNOWN_REFERENCE, np.int16)
    future = past.copy()
    for index, slices in enumerate(references):
        for s, cells in zip(slices, _cells(slices, past_valid.shape[1:]), strict=True):
            if not s.lists:
                continue
            valid = [past_valid[index] & cells, future_valid[index] & cells]
            shown = answers[index].cells
            if shown is not None:
                shown = shown[: cells.shape[0], : cells.shape[1]].astype(np.float32)
            if all(len(set(entries)) == 1 for entries in s.lists):
                chosen = [np.full(cells.shape, entries[0], np.int16) for entries in s.lists]
            elif shown is not None and shown.shape[:2] == cells.shape:  # a damaged SPS changes the size on the way
                chosen = _nearest(shown, s.lists, valid)
            else:
                continue
            for out, pictures, where in zip((past, future), chosen, valid, strict=False):
                out[index][where] = pictures[where]
    return past, future


def _cells(slices: list[SliceReferences], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield, for each slice, the 8x8 cells of its macroblocks (from its first one to the first one of a later slice)."""
    if len(slices) == 1 and slices[0].header.first_mb == 0:
        yield np.ones(shape, bool)
        return
    rows, columns = shape
    row, column = np.mgrid[0:rows, 0:columns] // 2
    macroblock = row * -(-columns // 2) + column
    starts = sorted(s.header.first_mb for s in slices)
    for s in slices:
        stop = next((start for start in starts if start > s.header.first_mb), macroblock.max() + 1)
        yield (macroblock >= s.header.first_mb) & (macroblock < stop)


def _nearest(shown: np.ndarray, lists: Lists, valid: list[np.ndarray]) -> list[np.ndarray]:
    """Return, for each list, the picture whose offsets come nearest to what is shown, float32 [H/8, W/8, 3]."""
    values = offsets(lists)
    chosen = [np.full(shown.shape[:2], UNKNOWN_REFERENCE, np.int16) for _ in lists]
    single = (valid[0],) if len(lists) == 1 else (valid[0] & ~valid[1], valid[1] & ~valid[0])
    for entries, of_list, where, out in zip(lists, values, single, chosen, strict=True):
        out[where] = np.array(entries, np.int16)[_closest(shown[where], of_list)]
    if len(lists) > 1:
        both = valid[0] & valid[1]
        sums = (values[0][:, None] + values[1][None] + 1) >> 1  # equation 8-301 with weights of 0
        best = _closest(shown[both], sums.reshape(-1, PLANES))
        chosen[0][both] = np.array(lists[0], np.int16)[best // len(lists[1])]
        chosen[1][both] = np.array(lists[1], np.int16)[best % len(lists[1])]
    return chosen


def _closest(shown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return for each of `shown` [n, 3] the row of `values` [m, 3] at the smallest sum of distances.

    Of three planes one may be far off: sums of distances, not of squares.
    """
    distance = np.zeros((len(values), len(shown)), np.float32)
    for plane in range(PLANES):
        distance += np.abs(shown[None, :, plane] - values[:, plane, None])
    return distance.argmin(axis=0)
