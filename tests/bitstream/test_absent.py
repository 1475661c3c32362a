"""Access units of which nothing arrived: found where they were, told from all that only looks like it."""

import dataclasses

import pytest

from b2scvr.bitstream.absent import with_absent
from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.numbering import infer_headers
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.rebuild import rebuild_lost
from b2scvr.bitstream.repair import splice_stream
from b2scvr.types import AccessUnitStatus

KINDS = {
    "x264 defaults": {},
    "no B pictures": {"bf": "0"},
    "B pyramid": {"x264-params": "b-adapt=0:bframes=5:ref=5"},
    "open GOP": {"x264-params": "open-gop=1:b-adapt=0:bframes=2:keyint=8"},
    "intra refresh": {"x264-params": "intra-refresh=1"},
    "slices": {"slices": "3"},
}


def _units(moving, options=None, gop=10):
    return split_access_units(encode_h264(moving(30, 48, 64), gop=gop, options=options or {}))[0]


def _without_slices(units, index):
    """The units without the slices of one: its parameter sets, packets of their own, go to the next one."""
    first = next(nal.start for nal in scan(units[index]) if nal.is_slice)
    return [*units[:index], units[index][:first] + units[index + 1], *units[index + 2 :]]


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_each_absent_reference_picture_is_found_and_no_other(options, moving, headers_of):
    units = _units(moving, options)
    assert with_absent(units) == (units, [])
    found = 0
    headers = headers_of(units)
    for index in range(1, len(units) - 1):  # before the first picture nothing is known
        true = headers[index]
        whole, absent = with_absent(_without_slices(units, index))
        assert absent == ([index] if true.nal_ref_idc and not headers[index + 1].is_idr else [])
        if absent:
            assert b"".join(whole) == b"".join(_without_slices(units, index))
            inferred, remarks = infer_headers(whole, {index})
            if index in inferred:
                header = inferred[index]
                assert (header.frame_num, header.poc_lsb, header.is_idr) == (true.frame_num, true.poc_lsb, true.is_idr)
                found += 1
            else:
                assert any(f"access unit {index} " in remark for remark in remarks)
    assert found > 5


def test_headers_that_are_garbage_and_long_gaps_make_no_absent_pictures(moving):
    units = _units(moving, {"bf": "0"})
    assert with_absent([*units[:2], *units[7:]])[1] == []  # five at once
    cut = [*units[:4], units[4][:6], *units[6:]]
    assert with_absent(cut)[1] == []  # an unreadable access unit before the gap may have been the reference
    fields = _units(moving, {"x264-params": "tff=1:weightp=0"})
    assert with_absent([*fields[:3], *fields[4:]])[1] == []


@pytest.mark.parametrize("lost", [4, 10, 20], ids=["P", "IDR", "next IDR"])
def test_true_pictures_put_in_repair_all_that_arrived(lost, moving, play, same_planes):
    options = {"bf": "0"} if lost == 4 else {"x264-params": "direct=none"}
    units = _units(moving, options)
    truth, _ = play(units, cropped=False)
    coded = decode(b"".join(_without_slices(units, lost)))
    whole, rebuilt = rebuild_lost(coded, decode)
    assert len(coded.clip) == 29 and len(whole.clip) == 30
    (slot,) = rebuilt.added
    assert whole.clip.decode_index[slot] == lost and whole.clip.status[slot] == AccessUnitStatus.BROKEN
    spliced = splice_stream(whole, {slot: truth[lost]})
    repaired, messages = play(spliced, cropped=False)
    assert messages == []
    assert all(same_planes(repaired[index], truth[index]) for index in truth)


def test_none_is_put_in_where_access_units_have_times_of_their_own(moving):
    units = _units(moving, {"bf": "0"})
    coded = decode(b"".join(_without_slices(units, 4)))
    whole, rebuilt = rebuild_lost(dataclasses.replace(coded, is_timed=True), decode)
    assert not rebuilt.added and whole.access_units == coded.access_units


def test_the_reason_why_one_is_not_put_in_is_told(moving):
    coded = decode(b"".join(_without_slices(_units(moving, {"bf": "0"}), 5)))
    kept, rebuilt = rebuild_lost(coded, lambda _: coded)  # as if the decoder showed no more pictures than before
    assert not rebuilt.added and kept.access_units == coded.access_units
    (told,) = (note for note in kept.clip.notes if note.startswith("nothing arrived of 1 reference pictures"))
    assert "the stream has 29 pictures, not 30" in told
