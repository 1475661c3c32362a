"""Where access units that gave no picture belong in display order."""

from __future__ import annotations

from collections.abc import Sequence

from b2scvr.bitstream.absent import with_absent
from b2scvr.bitstream.nal import NalType, NalUnit
from b2scvr.bitstream.numbering import infer_headers
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.reference_lists import is_garbage, readable_headers
from b2scvr.bitstream.syntax import ParameterSets

Place = tuple[int, int]  # number of the period in which counts are comparable, PicOrderCnt (8.2.1)


def display_order(received: Sequence[int], count: int, places: Sequence[Place | None] = ()) -> list[int]:
    """Return the decode indices of all `count` access units in display order.

    received: decode indices in the order in which the decoder put pictures out. places: of the access units, where their
    headers tell. An access unit that gave no picture goes before the first one of a later place. Where that cannot be
    told, or the decoder's own order is another, it goes after the pictures decoded before it and before the first one
    decoded after it: exact without B pictures, and within the reordering depth otherwise.
    """
    order = list(received)
    known = [place for index in received if (place := places[index] if places else None)]
    told = places if known == sorted(known) else [None] * count
    for missing in sorted(set(range(count)) - set(received)):
        here = told[missing] if told else None
        if here:
            later = next((n for n, index in enumerate(order) if (place := told[index]) and place > here), len(order))
        else:
            later = next((n for n, index in enumerate(order) if index > missing), len(order))
        order.insert(later, missing)
    return order


def places_of(units: list[bytes]) -> list[Place | None]:
    """Return the place of each access unit of an H.264 stream, None where its header does not tell.

    Reference pictures of which nothing arrived are counted too: behind an absent IDR picture a new period begins.
    """
    whole, absent = with_absent(units)
    inferred, _ = infer_headers(whole, set(absent))
    sets = ParameterSets()
    counter, period, previous = PocCounter(sets), 0, 0
    places: list[Place | None] = []
    for number, unit in enumerate(whole):
        sets.update(unit)
        found = [inferred[number]] if number in inferred else [header for header, _ in readable_headers(unit, sets)]
        if not found or is_garbage(found[0], None, previous, sets):
            places.append(None)
            continue
        header = found[0]
        period += header.is_idr
        kind = NalType.IDR if header.is_idr else NalType.SLICE
        places.append((period, counter.next(header, NalUnit(0, 0, 1, kind, header.nal_ref_idc))))
        period += header.resets_references
        previous = header.reference_frame_num(1 << sets.of_slice(header.pps_id)[0].log2_max_frame_num)
    return [place for number, place in enumerate(places) if number not in set(absent)]
