"""Access units of an H.264 elementary stream: which NAL units make up one coded picture (7.4.1.2.3, 7.4.1.2.4)."""

from __future__ import annotations

from dataclasses import dataclass

from b2scvr.bitstream.nal import NalType, NalUnit, scan, starts_picture
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, SliceHeader, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import SpliceError

# NAL units that come before the first slice of a picture (7.4.1.2.3): 14..18 are reserved for the same place.
_LEADING = frozenset({NalType.SEI, NalType.SPS, NalType.PPS, NalType.AUD, *range(NalType.PREFIX, 19)})


@dataclass
class _Current:
    """The picture that is being collected."""

    has_slice: bool = False
    header: SliceHeader | None = None  # of its last readable slice
    fields: int = 0  # field pictures so far


def split_access_units(data: bytes, known_sets: bytes = b"") -> tuple[list[bytes], bytes]:
    """Return the access units of an Annex-B stream in decoding order, and what is left behind the last slice.

    Together they are all of `data`. Both fields of a frame make one access unit, as the decoder puts out one frame for
    them. Where slice headers are garbage, a slice that says it is the first of its picture starts one, unless the slice
    before it says the same of itself with the same words. known_sets: parameter sets that are known beforehand.
    """
    units: list[bytes] = []
    sets, current = ParameterSets(), _Current()
    sets.update(known_sets)
    start, last_end = 0, 0
    for nal in scan(data):
        if nal.type in _LEADING:
            if current.has_slice:
                units.append(data[start : nal.start])
                start, current = nal.start, _Current()
            if nal.type in (NalType.SPS, NalType.PPS):
                sets.update(data[nal.start : nal.end])
        elif nal.is_slice:
            header = _header(data, nal, sets)
            if current.has_slice and _starts(current, header, data, nal):
                units.append(data[start : nal.start])
                start, current = nal.start, _Current()
            current.fields += bool(header and header.field_pic and not _same_field(current.header, header))
            current.has_slice, current.header = True, header
        last_end = nal.end if nal.is_slice else last_end
    if current.has_slice:
        units.append(data[start:last_end])
        start = last_end
    return units, data[start:]


def _header(data: bytes, nal: NalUnit, sets: ParameterSets) -> SliceHeader | None:
    try:
        return parse_slice_header(data[nal.payload : min(nal.end, nal.payload + MAX_HEADER_BYTES)], sets)
    except SpliceError:
        return None


def _starts(current: _Current, header: SliceHeader | None, data: bytes, nal: NalUnit) -> bool:
    """Whether a slice starts a new access unit, after at least one slice of the current one."""
    before = current.header
    if before is None or header is None:
        return starts_picture(data, nal) and not (header is None and before is None)
    if header.redundant_pic_cnt:
        return False
    if before.field_pic and header.field_pic and before.bottom_field != header.bottom_field:
        return current.fields > 1 or before.frame_num != header.frame_num or header.is_idr
    return before.picture != header.picture


def _same_field(before: SliceHeader | None, header: SliceHeader) -> bool:
    return before is not None and before.bottom_field == header.bottom_field
