"""Reference pictures of which nothing arrived: frame_num goes on as if they had (H.264 7.4.3).

A decoder makes up a picture for each, and all that predicts from it is wrong. After a lost IDR picture it may even show none
of the pictures up to the next one: they count as shown before what was shown last. So they get access units of their own.
"""

from __future__ import annotations

from b2scvr.bitstream.nal import NalType, first_slice, scan
from b2scvr.bitstream.reference_lists import is_garbage, read_headers
from b2scvr.bitstream.slice_header import SliceHeader
from b2scvr.bitstream.syntax import ParameterSets

_MOST_IN_A_ROW = 2  # more that are missing, without a trace, rather mean that a header is garbage


def with_absent(units: list[bytes]) -> tuple[list[bytes], list[int]]:
    """Return the access units with an empty one in each place where a reference picture is absent, and the numbers of those.

    What stands before the slices of the access unit behind an absent IDR picture (parameter sets) moves to that one. Streams
    that may hold fields come back as they are.
    """
    sets, previous = ParameterSets(), -1  # PrevRefFrameNum, -1: not known
    out: list[bytes] = []
    absent: list[int] = []
    for unit, headers, following in zip(units, *read_headers(units), strict=True):
        sets.update(unit)
        header = headers[0][0] if headers else None
        if header is None or is_garbage(header, following, previous, sets):
            previous = -1  # it may have been a reference
        else:
            sps, _ = sets.of_slice(header.pps_id)
            if not sps.frame_mbs_only:
                return units, []
            count, is_idr = _missing(header, previous, 1 << sps.log2_max_frame_num, _brings_sps(unit))
            absent += range(len(out), len(out) + count)
            start = first_slice(unit) if is_idr else 0
            out += [unit[:start], *[b""] * (count - 1)][:count]
            unit = unit[start:] if count else unit
            previous = header.reference_frame_num(1 << sps.log2_max_frame_num)
        out.append(unit)
    return out, absent


def _missing(header: SliceHeader, previous: int, period: int, brings_sps: bool) -> tuple[int, bool]:
    """Return how many reference pictures are absent right before a picture, and whether the first of them was an IDR one."""
    if header.is_idr or previous < 0:
        return 0, False
    gap = (header.frame_num - previous) % period - 1
    if gap <= 0:
        return 0, False
    # Parameter sets are usually sent again with each IDR picture.
    if brings_sps and 1 <= header.frame_num <= _MOST_IN_A_ROW and header.num_ref_idx_active:
        return header.frame_num, True
    return (gap, False) if gap <= _MOST_IN_A_ROW else (0, False)


def _brings_sps(unit: bytes) -> bool:
    return any(nal.type == NalType.SPS for nal in scan(unit))
