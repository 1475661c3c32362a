"""Reference lists: known answers of the standard, and what libavcodec says that it holds."""

import re

import av
import av.logging
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.types import MISSING_REFERENCE


def lists_of(units):
    return [[s.lists for s in slices] for slices in slice_references(units)]


def encoded(pictures, gop=12, **options):
    return split_access_units(encode_h264(pictures, gop=gop, options=options))[0]


def held_by_libavcodec(units):
    """frame_num and picture order count of the short-term pictures that libavcodec prints after each access unit."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_type, decoder.thread_count = "SLICE", 1
    decoder.options = {"debug": "mmco"}
    av.logging.set_level(av.logging.DEBUG)
    av.logging.set_skip_repeated(False)
    out = []
    for unit in units:
        with av.logging.Capture() as logs:
            decoder.decode(av.Packet(unit))
        messages = [message for _, _, message in logs]
        starts = [i for i, message in enumerate(messages) if message.startswith("short term list")]
        last = messages[starts[-1] + 1 :] if starts else []
        ends = [i for i, message in enumerate(last) if message.startswith("long term list")]
        printed = [re.match(r"\d+ fn:(\d+) poc:(\d+)", message) for message in last[: ends[0] if ends else 0]]
        out.append([(int(m[1]), int(m[2])) for m in printed if m])
    av.logging.set_level(None)
    return out


def test_p_slices_refer_backwards_from_the_latest(pictures):
    found = lists_of(encoded(pictures, bf="0", refs="3", weightp="0"))
    assert found[0] == [()] and found[12] == [()]
    assert found[1] == [((0,),)] and found[2] == [((1, 0),)]
    assert found[5] == [((4, 3, 2),)] and found[13] == [((12,),)]


def test_b_slices_refer_to_both_sides_nearest_first(pictures):
    units = encoded(pictures, bf="1", b_strategy="0", refs="2", weightp="0", **{"x264-params": "b-pyramid=none"})
    found = lists_of(units)  # I0 P2 b1 P4 b3 ... in decoding order
    assert found[1] == [((0,),)]
    assert found[2] == [((0,), (1,))]
    first, second = found[4][0]
    assert (first[0], second[0]) == (1, 3)


def test_every_slice_of_a_picture_has_its_lists(pictures):
    found = slice_references(encoded(pictures, bf="0", refs="2", slices="3"))
    assert len(found[3]) == 3 and len({s.header.first_mb for s in found[3]}) == 3
    assert len({s.lists for s in found[3]}) == 1


@pytest.mark.parametrize("options", [{}, {"bf": "0", "refs": "4"}, {"coder": "cavlc", "weightp": "0"}, {"refs": "6"}])
def test_the_lists_hold_what_libavcodec_holds(pictures, options):
    units = encoded(pictures, **options)
    held = held_by_libavcodec(units)
    orders = {index: after[0][1] for index, after in enumerate(held) if after}  # the latest comes first
    for index, slices in enumerate(slice_references(units)):
        for s in slices:
            names = {picture for entries in s.lists for picture in entries}
            assert MISSING_REFERENCE not in names and not s.uncertain
            assert {orders[picture] for picture in names} <= {order for _, order in held[index - 1]}


def test_a_lost_reference_stands_in_the_lists_until_the_next_idr(pictures):
    units = encoded(pictures, bf="0", refs="3", weightp="0")
    gone = slice_references([*units[:5], *units[6:]])
    assert gone[5][0].lists == ((MISSING_REFERENCE, 4, 3),)
    assert gone[5][0].uncertain and gone[6][0].uncertain
    assert not any(s.uncertain for slices in gone[11:] for s in slices)
    garbage = slice_references([*units[:5], units[5][:5] + b"\x00\x01\x00" * 4, *units[6:]])
    assert garbage[5] == [] and garbage[6][0].lists == ((5, 4, 3),) and garbage[6][0].uncertain


def test_a_reference_frame_that_repeats_a_frame_num_misleads_all_up_to_the_next_idr_picture(pictures):
    units = encoded(pictures, bf="0", refs="3", weightp="0")  # GOPs of 12
    found = slice_references([*units[:5], units[4], *units[5:]])
    assert not any(one.uncertain for slices in found[:5] for one in slices)
    assert all(one.uncertain for slices in found[5:13] for one in slices)
    assert not any(one.uncertain for slices in found[13:] for one in slices)
