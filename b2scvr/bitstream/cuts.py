"""Where an H.264 stream can be cut between two IDR pictures, given the pictures that a decoder holds there (entries)."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.reference_lists import read_headers, slice_references
from b2scvr.bitstream.slice_header import SliceHeader
from b2scvr.bitstream.splice import check_spliceable
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import SpliceError

_MOST = 80  # pictures that must be there before a cut
_REORDERED = 16  # pictures: so many at most are decoded before one, and shown behind it (MaxDpbFrames, A.3.1)
_UNCUT_OPERATIONS = (2, 3, 4, 5, 6)  # of memory management: long-term references, and a reset (7.4.3.3)


@dataclass(frozen=True)
class Cut:
    """A place inside a period where it can be cut."""

    at: int  # the access unit before which it is cut
    start: int  # from this one on, what stands before the cut must be there as it was decoded


def find_cuts(units: list[bytes]) -> list[Cut]:
    """Return where the access units of one period (decoding order, its parameter sets ahead) can be cut, in order.

    Nothing is shown across a cut: what is decoded before it is shown before what is decoded after it. Nor is anything from
    before `Cut.start` referred to behind it. Near access units whose headers cannot be read there is none, and none at all in
    streams with long-term reference pictures, or whose pictures cannot be replaced by others (splice).
    """
    read = read_headers(units)[0]
    try:
        orders, held = _follow(units, [headers[0][0] if headers else None for headers in read])
    except SpliceError:
        return []
    named = [
        min((entry for one in slices for entries in one.lists for entry in entries if entry >= 0), default=number)
        for number, slices in enumerate(slice_references(units))
    ]
    named_behind = list(accumulate(reversed(named), min))[::-1]
    borders = [number for number in range(1, len(units)) if _is_border(orders, number)]
    cuts = []
    for at in borders:
        needed = min(held[at], named_behind[at], at - 1)
        place = bisect_right(borders, needed)
        start = borders[place - 1] if place else 0
        if start and at - start <= _MOST and None not in orders[start : at + 1]:
            cuts.append(Cut(at, start))
    return cuts


def _follow(units: list[bytes], first_headers: list[SliceHeader | None]) -> tuple[list[int | None], list[int]]:
    """Return PicOrderCnt of each access unit, and the first one that it may refer to where no lists tell: in fields.

    Raises SpliceError for a stream that cannot be cut.
    """
    sets = ParameterSets()
    counter, capacity = PocCounter(sets), 0
    orders, held, references = list[int | None](), list[int](), list[int]()
    for number, (unit, header) in enumerate(zip(units, first_headers, strict=True)):
        sets.update(unit)
        held.append(references[-min(capacity, len(references))] if capacity and references else number)
        if header is None:
            orders.append(None)
            continue
        if header.long_term_reference or any(kind in _UNCUT_OPERATIONS for kind, *_ in header.marking_operations):
            raise SpliceError("long-term reference pictures, or references reset between IDR pictures (H.264 7.4.3.3)")
        sps, pps = sets.of_slice(header.pps_id)
        check_spliceable(sps, pps)
        orders.append(counter.next(header))
        capacity = 0 if sps.frame_mbs_only else 2 * sps.max_num_ref_frames  # fields may be kept one by one
        references += [number] * bool(header.nal_ref_idc)
    return orders, held


def _is_border(orders: list[int | None], number: int) -> bool:
    """Whether what is decoded before access unit `number` is shown before what is decoded from it on."""
    before, behind = (
        [order for order in orders[part] if order is not None]
        for part in (slice(max(0, number - _REORDERED), number), slice(number, number + _REORDERED))
    )
    return orders[number] is not None and bool(before) and max(before) < min(behind)
