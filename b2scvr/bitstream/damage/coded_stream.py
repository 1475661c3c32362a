"""An Annex-B stream as the damage models see it: NAL units, access units, slices, and bytes that may be protected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from b2scvr.bitstream.nal import NalType, NalUnit, escaped_length, scan, starts_picture
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import SpliceError

PROTECTED_PARTS = ("sets", "idr", "headers")
_UNPARSED_HEADER_BYTES = 32  # of a slice whose header cannot be read (more than x264's longest)
_SETS = frozenset({NalType.SPS, NalType.PPS, NalType.SPS_EXTENSION, NalType.SUBSET_SPS})
_BEFORE_A_PICTURE = frozenset({*range(NalType.SEI, NalType.AUD + 1), *range(NalType.PREFIX, 19)})  # 7.4.1.2.3


@dataclass(frozen=True)
class CodedSlice:
    """One slice of the stream."""

    unit: NalUnit
    access_unit: int
    header_end: int  # first byte of the stream behind the slice header


class CodedStream:
    """The structure of an H.264 byte stream, read when it is asked for. Damaged streams are read as far as they go.

    Access units are numbered in decoding order from 0 (a field coded as a picture of its own counts as one), slices in
    file order from 0. A NAL unit takes the bytes from its start code up to the next one.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def units(self) -> list[NalUnit]:
        """The NAL units in file order."""
        return scan(self.data)

    @cached_property
    def starts(self) -> np.ndarray:
        """First byte of each NAL unit, int64 [units]."""
        return np.array([unit.start for unit in self.units], np.int64)

    @cached_property
    def ends(self) -> np.ndarray:
        """One past the last byte of each NAL unit, trailing zeros included, int64 [units]."""
        return np.append(self.starts[1:], len(self.data)) if self.units else self.starts

    @cached_property
    def access_units(self) -> np.ndarray:
        """Number of the access unit of each NAL unit, int64 [units]."""
        numbers, current = [], -1
        for unit in self.units:
            current += unit.is_slice and (starts_picture(self.data, unit) or current < 0)
            numbers.append(current + (unit.type in _BEFORE_A_PICTURE or current < 0))
        return np.minimum(np.array(numbers, np.int64), max(current, 0))

    @cached_property
    def slice_numbers(self) -> np.ndarray:
        """Number of the slice that each NAL unit is, -1 for other types, int64 [units]."""
        is_slice = np.array([unit.is_slice for unit in self.units], bool)
        return np.where(is_slice, np.cumsum(is_slice) - 1, -1)

    @cached_property
    def slices(self) -> list[CodedSlice]:
        """The slices in file order."""
        found: list[CodedSlice] = []
        sets = ParameterSets()
        for unit, access_unit in zip(self.units, self.access_units, strict=True):
            if unit.is_slice:
                found.append(CodedSlice(unit, int(access_unit), self._header_end(unit, sets)))
            else:
                sets.update(self.data[unit.start : unit.end])
        return found

    def protected(self, parts: tuple[str, ...]) -> np.ndarray:
        """Return which bytes belong to the named parts, bool [bytes].

        "sets": parameter sets; "idr": every slice of the first IDR picture; "headers": start code, NAL header and slice
        header of every slice.
        """
        mask = np.zeros(len(self.data), bool)
        if "sets" in parts:
            for unit, end in zip(self.units, self.ends, strict=True):
                if unit.type in _SETS:
                    mask[unit.start : end] = True
        keys = [item.access_unit for item in self.slices if item.unit.type == NalType.IDR] if "idr" in parts else []
        for item in self.slices if "headers" in parts or keys else ():
            if keys and item.access_unit == keys[0]:
                mask[item.unit.start : item.unit.end] = True
            if "headers" in parts:
                mask[item.unit.start : item.header_end] = True
        return mask

    def _header_end(self, unit: NalUnit, sets: ParameterSets) -> int:
        head = self.data[unit.payload : min(unit.end, unit.payload + MAX_HEADER_BYTES)]
        try:
            bits = parse_slice_header(head, sets).header_bits
        except SpliceError:
            return min(unit.end, unit.payload + _UNPARSED_HEADER_BYTES)
        return unit.payload + escaped_length(head, 1 + -(-bits // 8))


def check_parts(parts: tuple[str, ...]) -> None:
    """Raise ValueError for a part that `CodedStream.protected` does not know."""
    for part in parts:
        if part not in PROTECTED_PARTS:
            raise ValueError(f"unknown part {part!r} to protect: known are {', '.join(PROTECTED_PARTS)}")


def spans(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of True in bool [N] as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
