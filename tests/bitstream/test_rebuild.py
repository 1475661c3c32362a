"""Lost access units: their headers as the encoder wrote them, their pictures in their places, doubt said aloud."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.handmade import HandWriter, field_pictures, marking_of, noise, picture_set, sequence
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.numbering import infer_headers
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.rebuild import Rebuilt, mark_unrestored, rebuild_lost
from b2scvr.bitstream.repair import splice_stream
from b2scvr.types import AccessUnitStatus

CODINGS = {
    "x264 defaults": {},
    "no B pictures": {"bf": "0"},  # picture order count type 2
    "B pyramid": {"x264-params": "b-adapt=0:bframes=5:ref=5"},
    "fixed groups": {"x264-params": "b-adapt=0:bframes=2:b-pyramid=none"},
    "open GOP": {"x264-params": "open-gop=1:b-adapt=0:bframes=2:keyint=8"},
    "one GOP": {"g": "250"},
    "slices": {"slices": "3"},
    "MBAFF": {"x264-params": "tff=1:weightp=0"},
    "IDR pictures only": {"g": "1"},
}


def _units(moving, options, pictures=30):
    gop = int(options.get("g", 16))
    return split_access_units(encode_h264(moving(pictures, 48, 64), gop=gop, options=options))[0]


def _without_headers(units, lost, keep=2):
    """The units, those of `lost` cut off behind `keep` bytes of their first slice."""
    starts = [next(nal.payload for nal in scan(unit) if nal.is_slice) for unit in units]
    return [
        unit[: start + keep] if i in lost else unit for i, (unit, start) in enumerate(zip(units, starts, strict=True))
    ]


def _numbering(header):
    return header.frame_num, header.is_idr, header.nal_ref_idc > 0, header.poc_lsb, header.delta_poc_bottom


@pytest.mark.parametrize("options", CODINGS.values(), ids=CODINGS)
def test_any_single_access_unit_is_numbered_as_it_was(options, moving, headers_of):
    units = _units(moving, options)
    for index, true in enumerate(headers_of(units)):
        inferred, _ = infer_headers(_without_headers(units, {index}), {index})
        assert _numbering(inferred[index]) == _numbering(true)


@pytest.mark.parametrize("options", CODINGS.values(), ids=CODINGS)
def test_several_are_numbered_as_they_were_or_not_at_all(options, moving, headers_of):
    units = _units(moving, options)
    true = headers_of(units)
    draw = np.random.default_rng(0)
    told = 0
    for _ in range(25):
        lost = set(draw.choice(len(units), 3, replace=False).tolist())
        inferred, remarks = infer_headers(_without_headers(units, lost), lost)
        assert all(_numbering(inferred[i]) == _numbering(true[i]) for i in inferred)
        assert all(any(f"unit {i} " in remark for remark in remarks) for i in lost - set(inferred))
        told += len(inferred)
    assert told >= 25  # of 75; all of them where no B pictures are


@pytest.mark.parametrize(
    "poc",
    [{"poc_type": 0, "log2_max_poc_lsb": 6}, {"poc_type": 1, "offsets_for_ref_frame": (4,)}],
    ids=["type 0", "type 1"],
)
def test_order_counts_of_both_kinds_are_sent_as_needed(poc):
    """Pictures 2 and 3 are shown in the other order; 2 is lost: its count is the hole between 1 and 3."""
    sps = sequence(2, 2, **poc)
    writer = HandWriter(sps, picture_set())
    orders = [0, 4, 12, 8, 16]
    fields = [{"poc_lsb": n} if sps.poc_type == 0 else {"delta_poc": (n - 4 * i, 0)} for i, n in enumerate(orders)]
    units = [writer.pcm(noise(sps, n), is_idr=n == 0, frame_num=n, **fields[n]) for n in range(5)]
    units[0] = writer.parameter_sets() + units[0]
    inferred, remarks = infer_headers(_without_headers(units, {2}), {2})
    assert not remarks
    assert (inferred[2].poc_lsb, inferred[2].delta_poc) == ((12, (0, 0)) if sps.poc_type == 0 else (0, (4, 0)))


def test_what_cannot_be_told_is_said():
    sps = sequence(2, 2)
    writer = HandWriter(sps, picture_set())
    references = [writer.pcm(noise(sps, n), is_idr=n == 0, frame_num=n) for n in range(7)]
    references[0] = writer.parameter_sets() + references[0]

    def remark(units, lost):
        inferred, remarks = infer_headers(_without_headers(units, lost), lost)
        assert not inferred and len(remarks) == len(lost)
        return remarks[0]

    gap = [*references[:2], references[4], references[6]]
    assert "other pictures were missing too" in remark(gap, {2})
    without_names = [*references[:2], b"\0\0\0\1\x0c\xff", b"\0\0\0\1\x0c\xff", references[3]]
    inferred, remarks = infer_headers(without_names, {2, 3})
    assert not inferred and "1 of 2 lost pictures were references" in remarks[0]
    assert "no readable header" in remark(references[:1], {0})
    fields = field_pictures([noise(sequence(2, 2, frame_mbs_only=False), n) for n in range(4)],
                            HandWriter(sequence(2, 2, frame_mbs_only=False), picture_set()))  # fmt: skip
    assert "field pictures" in remark(fields, {2})
    timed = HandWriter(sequence(2, 2, poc_type=0), picture_set())
    reset = [
        timed.parameter_sets() + timed.pcm(noise(sps, 0), is_idr=True),
        timed.pcm(noise(sps, 1), frame_num=1, poc_lsb=2, marking=marking_of((5,))),
        timed.pcm(noise(sps, 2), frame_num=1, poc_lsb=2),
        timed.pcm(noise(sps, 3), frame_num=2, poc_lsb=4),
    ]
    assert "drops all references" in remark(reset, {2})


def test_marking_operations_are_those_of_pictures_at_the_same_place(moving, headers_of):
    options = {"x264-params": "b-adapt=0:bframes=3:b-pyramid=strict:keyint=60:scenecut=0"}
    units = _units(moving, options, pictures=40)
    true = headers_of(units)
    target = next(i for i, header in enumerate(true) if header.marking_operations and i > 12)
    inferred, remarks = infer_headers(_without_headers(units, {target}), {target})
    assert inferred[target].marking == true[target].marking and not remarks


def test_where_pictures_at_the_same_place_differ_the_sliding_window_is_taken_and_said():
    sps = sequence(2, 2)
    writer = HandWriter(sps, picture_set())
    marking = {n: marking_of((1, 1)) if n == 4 else "00" if n == 0 else "0" for n in range(7)}
    units = [writer.pcm(noise(sps, n), is_idr=n == 0, frame_num=n, marking=marking[n]) for n in range(7)]
    units[0] = writer.parameter_sets() + units[0]
    inferred, remarks = infer_headers(_without_headers(units, {5}), {5})
    assert inferred[5].marking == "0" and "access unit 5 " in remarks[0] and "marking operations" in remarks[0]


def test_a_lost_access_unit_with_a_good_header_is_left_alone(moving):
    units = _units(moving, {})
    inferred, remarks = infer_headers(units, {3})
    assert inferred == {} and remarks == []


@pytest.mark.parametrize("options", [{}, {"bf": "0", "coder": "cavlc"}, {"x264-params": "tff=1:weightp=0"}], ids=str)
def test_true_pictures_in_rebuilt_access_units_repair_the_stream(options, moving, play, same_planes):
    merged = {**options, "x264-params": f"{options.get('x264-params', 'aud=0')}:direct=none"}
    clean = decode(encode_h264(moving(20, 60, 76), options=merged))
    truth, _ = play(clean.access_units, cropped=False)
    lost = {2, 17}
    damaged = decode(b"".join(_without_headers(clean.access_units, lost)))
    assert set(damaged.clip.decode_index[damaged.clip.lost]) == lost
    whole, rebuilt = rebuild_lost(damaged, decode)
    assert {int(whole.clip.decode_index[slot]) for slot in rebuilt.samples} == lost
    assert np.array_equal(whole.clip.decode_index, clean.clip.decode_index)
    for slot in rebuilt.samples:
        assert whole.clip.lost[slot] and whole.clip.status[slot] == AccessUnitStatus.BROKEN
        assert whole.clip.concealed[slot].all() and whole.clip.planes[slot].y.shape == (64, 80)
        before = damaged.clip.frames[damaged.clip.decode_index == whole.clip.decode_index[slot]][0]
        assert np.abs(whole.clip.frames[slot].astype(int) - before).mean() < 2  # shows what it showed before
    assert (whole.clip.status == AccessUnitStatus.DEPENDENT).any()
    assert damaged.clip.lost.sum() == 2 and not damaged.clip.planes  # the argument stays as it was
    units = splice_stream(whole, {slot: truth[int(whole.clip.decode_index[slot])] for slot in rebuilt.samples})
    repaired, messages = play(units, cropped=False)
    assert messages == [] and list(repaired) == list(truth)
    assert all(same_planes(repaired[i], truth[i]) for i in truth)


def test_nothing_lost_and_other_codecs_come_back_as_they_are(moving):
    coded = decode(encode_h264(moving(4, 48, 64)))
    assert rebuild_lost(coded, decode) == (coded, Rebuilt())
    mark_unrestored(coded.clip, {})
    assert (coded.clip.status == AccessUnitStatus.INTACT).all()


def test_a_rebuilt_stream_of_another_length_is_not_taken(moving):
    units = _units(moving, {"bf": "0"}, pictures=12)
    damaged = decode(b"".join(_without_headers(units, {5})))
    same, rebuilt = rebuild_lost(damaged, lambda data: decode(b"".join(units[:4])))
    assert not rebuilt.samples and same.access_units == damaged.access_units
    assert any("4 pictures, not 12" in note for note in same.clip.notes)
