"""NAL units of an Annex-B byte stream (H.264 7.3.1, 7.4.1, annex B): finding them, and emulation prevention."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

_PREFIX = b"\x00\x00\x01"  # start_code_prefix_one_3bytes
START_CODE = b"\x00" + _PREFIX
_NEEDS_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03])")


class NalType(IntEnum):
    """nal_unit_type (H.264 table 7-1), those that this package names."""

    SLICE = 1
    PARTITION_A = 2
    PARTITION_B = 3
    PARTITION_C = 4
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    END_OF_SEQUENCE = 10
    END_OF_STREAM = 11
    FILLER = 12
    SPS_EXTENSION = 13
    PREFIX = 14
    SUBSET_SPS = 15
    AUXILIARY_SLICE = 19
    SLICE_EXTENSION = 20


SLICE_TYPES = frozenset({NalType.SLICE, NalType.IDR})
PARTITION_TYPES = frozenset({NalType.PARTITION_A, NalType.PARTITION_B, NalType.PARTITION_C})


class NalUnit(NamedTuple):
    """Where one NAL unit lies in its byte stream; all offsets in bytes."""

    start: int  # first byte of the start code (its zero_byte included)
    payload: int  # the NAL header byte
    end: int  # one past the last byte; trailing_zero_8bits excluded
    type: int  # nal_unit_type, 0..31
    ref_idc: int  # nal_ref_idc, 0..3

    @property
    def is_slice(self) -> bool:
        """Whether this is a whole slice of a primary or redundant picture (types 1 and 5)."""
        return self.type in SLICE_TYPES


def scan(data: bytes) -> list[NalUnit]:
    """Return the NAL units of an Annex-B byte stream in file order (annex B.1). Start codes with nothing behind are skipped."""
    units: list[NalUnit] = []
    prefix = data.find(_PREFIX)
    while prefix >= 0:
        payload = prefix + len(_PREFIX)
        following = data.find(_PREFIX, payload)
        end = _strip_zeros(data, payload, following if following >= 0 else len(data))
        if end > payload:
            start = prefix - 1 if prefix and data[prefix - 1] == 0 else prefix
            header = data[payload]
            units.append(NalUnit(start, payload, end, header & 0x1F, header >> 5 & 3))
        prefix = following
    return units


def starts_picture(data: bytes, unit: NalUnit) -> bool:
    """Whether a slice is the first one of its picture: first_mb_in_slice is 0, a single set bit (7.3.3, 9.1).

    Without arbitrary slice order (Baseline only) that is the first slice of each primary coded picture.
    """
    return unit.is_slice and unit.payload + 1 < unit.end and data[unit.payload + 1] >= 0x80


def unescape(data: bytes) -> bytes:
    """Return the RBSP of a NAL unit's bytes: each emulation_prevention_three_byte taken out (7.4.1)."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def escape(rbsp: bytes) -> bytes:
    """Return `rbsp` with emulation_prevention_three_bytes put in, so that no start code can appear (7.4.1)."""
    escaped = _NEEDS_ESCAPE.sub(b"\x00\x00\x03", rbsp)
    return escaped + b"\x03" if escaped.endswith(b"\x00") else escaped


def escaped_length(data: bytes, rbsp_bytes: int) -> int:
    """Return how many bytes of `data` (escaped) hold the first `rbsp_bytes` bytes of its RBSP."""
    length, zeros, unescaped = 0, 0, 0
    for byte in data:
        if unescaped == rbsp_bytes:
            break
        length += 1
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        zeros = zeros + 1 if byte == 0 else 0
        unescaped += 1
    return length


def _strip_zeros(data: bytes, start: int, end: int) -> int:
    while end > start and data[end - 1] == 0:
        end -= 1
    return end


def first_slice(access_unit: bytes) -> int:
    """Return where the first slice of a piece of Annex-B stream begins, its length where there is none."""
    return next((nal.start for nal in scan(access_unit) if nal.is_slice), len(access_unit))
