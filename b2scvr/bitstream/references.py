"""Which picture each motion vector means, from the reference lists and the decoder's answers to the probe."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2scvr.bitstream.probe import PLANES, Answer, Lists, offsets
from b2scvr.bitstream.reference_lists import SliceReferences
from b2scvr.types import MISSING_REFERENCE, UNKNOWN_REFERENCE, AccessUnitStatus, ParsedClip


def add_references(clip: ParsedClip, references: list[list[SliceReferences]], answers: list[Answer]) -> None:
    """Fill `past_reference` and `future_reference` of a clip, in place. references, answers: by decode index.

    Pictures whose references are uncertain count as dependent: they may be predicted from the wrong pictures.
    """
    slots = np.argsort(clip.decode_index)
    found = read_references(references, answers, clip.mv_past_valid[slots], clip.mv_future_valid[slots])
    shown_as = np.array([*slots, MISSING_REFERENCE, UNKNOWN_REFERENCE], np.int16)  # -2 and -1 count from its end
    for out, pictures in zip((clip.past_reference, clip.future_reference), found, strict=True):
        out[slots] = shown_as.take(pictures)
    after_garbage = _after_garbage(clip, references)
    for index, slices in enumerate(references):
        is_doubtful = any(s.uncertain or (after_garbage[index] and s.header.num_ref_idx_active) for s in slices)
        if clip.status[slots[index]] == AccessUnitStatus.INTACT and is_doubtful:
            clip.status[slots[index]] = AccessUnitStatus.DEPENDENT


def _after_garbage(clip: ParsedClip, references: list[list[SliceReferences]]) -> list[bool]:
    """Whether each access unit may refer to one with a header that can be read, and of which no picture came all the same.

    The header is garbage then, and the lists were made with it.
    """
    found = []
    garbage, before = False, False
    for (slot, key), slices in zip(clip.in_decoding_order(), references, strict=True):
        if slot == key:
            garbage, before = False, garbage
        garbage |= bool(clip.lost[slot] and slices)
        found.append(garbage or (before and slot < key))
    return found


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
                shown = shown[:, : cells.shape[0], : cells.shape[1]]
            if all(len(set(entries)) == 1 for entries in s.lists):
                chosen = [np.full(cells.shape, entries[0], np.int16) for entries in s.lists]
            elif shown is not None and shown.shape[1:] == cells.shape:  # a damaged SPS changes the size on the way
                chosen = _nearest(shown, s.lists, valid)
            else:
                continue
            for out, pictures, where in zip((past, future), chosen, valid, strict=False):
                np.copyto(out[index], pictures, where=where)
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
    """Return, for each list, the picture whose offsets come nearest to what is shown, uint8 [3, H/8, W/8].

    What stands where a list is not in use (not `valid`) means nothing.
    """
    planes = shown.astype(np.int16)
    values = offsets(lists)
    entries = [np.array(of_list, np.int16) for of_list in lists]
    chosen = [of_list.take(_closest(planes, numbers)) for of_list, numbers in zip(entries, values, strict=True)]
    if len(lists) > 1:
        both = valid[0] & valid[1]
        sums = (values[0][:, None] + values[1][None] + 1) >> 1  # equation 8-301 with weights of 0
        first, second = np.divmod(np.arange(len(lists[0]) * len(lists[1])), len(lists[1]))
        best = _closest(planes, sums.reshape(-1, PLANES))
        np.copyto(chosen[0], entries[0][first].take(best), where=both)
        np.copyto(chosen[1], entries[1][second].take(best), where=both)
    return chosen


def _closest(shown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return for each cell of `shown`, int16 [3, h, w], the row of `values` [m, 3] at the smallest sum of distances.

    Of three planes one may be far off: sums of distances, not of squares. Of equal rows the first one counts.
    """
    best = np.zeros(shown.shape[1:], np.int16)
    first = dict[tuple[int, ...], int]()
    for row, value in enumerate(values.tolist()):
        first.setdefault(tuple(value), row)
    if len(first) == 1:
        return best
    least: np.ndarray | None = None
    for value, row in first.items():
        distance, *others = (np.abs(plane - np.int16(level)) for plane, level in zip(shown, value, strict=True))
        for other in others:
            distance += other
        if least is None:
            least = distance
            continue
        np.copyto(best, row, where=distance < least)
        np.minimum(least, distance, out=least)
    return best
