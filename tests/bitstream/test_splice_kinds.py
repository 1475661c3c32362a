"""Splicing of every kind of H.264 stream: with true samples in some of its pictures, all of them come out bit-exact."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.handmade import HandWriter, field_pictures, marking_of, noise, picture_set, sequence
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.pcm import macroblock_bytes
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.splice import splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import Planes, SpliceError

FORMATS = (
    "yuv420p", "yuvj420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray10le",
)  # fmt: skip
CODERS = {"CABAC": {"bf": "0"}, "CAVLC": {"bf": "0", "coder": "cavlc"}}


def _spliced(units, planes, chosen):
    sets, out = ParameterSets(), []
    for index, unit in enumerate(units):
        sets.update(unit)
        out.append(splice_picture(unit, planes[index], sets) if index in chosen else unit)
    return out


@pytest.fixture
def check_exact(play, same_planes):
    """Replace the `chosen` pictures of a stream by their own samples: none of its pictures may change."""

    def check(units, chosen):
        truth, messages = play(units, cropped=False)
        assert not messages and sorted(truth) == list(range(len(units)))
        spliced = _spliced(units, truth, chosen)
        assert all((old == new) == (i not in chosen) for i, (old, new) in enumerate(zip(units, spliced, strict=True)))
        repaired, messages = play(spliced, cropped=False)
        assert messages == [] and sorted(repaired) == list(range(len(units)))
        assert all(same_planes(repaired[i], truth[i]) for i in truth)

    return check


@pytest.mark.parametrize("coder", CODERS.values(), ids=CODERS)
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_chroma_formats_and_bit_depths(pix_fmt, coder, moving, check_exact):
    units, _ = split_access_units(encode_h264(moving(6, 58, 106), options=coder, pix_fmt=pix_fmt))
    check_exact(units, {0, 2, 3})


@pytest.mark.parametrize("coder", CODERS.values(), ids=CODERS)
@pytest.mark.parametrize("parameters", ["tff=1", "bff=1:slices=2", "fake-interlaced=1"])
def test_mbaff(parameters, coder, moving, check_exact):
    """Frames of macroblock pairs, and (fake-interlaced) frames without pairs in a stream that may hold fields."""
    options = {**coder, "x264-params": f"weightp=0:{parameters}"}
    units, _ = split_access_units(encode_h264(moving(6, 84, 106), options=options))
    check_exact(units, {0, 2, 3})


def test_mbaff_in_10_bit_4_2_2(moving, check_exact):
    options = {"x264-params": "weightp=0:tff=1", "bf": "0"}
    units, _ = split_access_units(encode_h264(moving(4, 84, 106), options=options, pix_fmt="yuv422p10le"))
    check_exact(units, {0, 2})


@pytest.mark.parametrize("parameters", ["qp=0", "crop-rect=2,4,6,8", "keyint=3:open-gop=1:bframes=2:direct=none"])
def test_lossless_cropped_and_open_gop(parameters, moving, check_exact):
    pix_fmt = "yuv444p" if parameters == "qp=0" else "yuv420p"
    units, _ = split_access_units(encode_h264(moving(8), options={"x264-params": parameters}, pix_fmt=pix_fmt))
    check_exact(units, {0, 1, 3, 4})


@pytest.mark.parametrize("cabac", [False, True])
@pytest.mark.parametrize(
    ("chroma", "depth"), [(1, 9), (2, 10), (3, 14), (0, 8), (0, 14), (1, 14)], ids=lambda value: str(value)
)
def test_bit_depths_that_x264_does_not_write(chroma, depth, cabac, check_exact):
    """Depths that FFmpeg decodes: 8, 9, 10 and 14; the samples of every other macroblock are at an end of their range."""
    sps = sequence(3, 4, chroma_format_idc=chroma, bit_depth_luma=depth, bit_depth_chroma=depth)
    writer = HandWriter(sps, picture_set(cabac=cabac))
    units = [writer.pcm(noise(sps, n), is_idr=n == 0, frame_num=n) for n in range(3)]
    units[0] = writer.parameter_sets() + units[0]
    check_exact(units, {0, 2})


@pytest.mark.parametrize("cabac", [False, True])
def test_mbaff_samples_of_14_bits(cabac, check_exact):
    sps = sequence(
        3, 4, chroma_format_idc=2, bit_depth_luma=14, bit_depth_chroma=14, frame_mbs_only=False,
        mb_adaptive_frame_field=True,
    )  # fmt: skip
    writer = HandWriter(sps, picture_set(cabac=cabac))
    units = [writer.pcm(noise(sps, n), is_idr=n == 0, frame_num=n) for n in range(2)]
    check_exact([writer.parameter_sets() + units[0], units[1]], {0, 1})


def test_unequal_bit_depths():
    """9 bits of luma, 8 of chroma: FFmpeg refuses them, so the bits are counted by hand (7.3.5)."""
    sps = sequence(1, 1, bit_depth_luma=9, bit_depth_chroma=8)
    planes = Planes(np.full((16, 16), 0x101, np.uint16), np.full((8, 8), 7, np.uint8), np.full((8, 8), 9, np.uint8))
    (data,) = macroblock_bytes(planes, sps)
    assert data.size == (256 * 9 + 128 * 8) // 8
    assert data[:9].tolist() == [0x80, 0xC0, 0x60, 0x30, 0x18, 0x0C, 0x06, 0x03, 0x01]  # 100000001 eight times
    assert (data[288:352] == 7).all() and (data[352:] == 9).all()
    with pytest.raises(ValueError, match="512 does not fit into 9 bits"):
        macroblock_bytes(Planes(planes.y + 255, planes.u, planes.v), sps)
    with pytest.raises(ValueError, match="8x8 samples expected"):
        macroblock_bytes(Planes(planes.y, planes.y, planes.v), sps)


@pytest.mark.parametrize("chosen", [{0}, {3}, {1, 2}, set(range(7))], ids=str)
def test_field_pictures(chosen, check_exact):
    """Two I_PCM fields a frame, in the place of samples or of copies; each field keeps its own header values."""
    sps = sequence(3, 4, frame_mbs_only=False)
    units = field_pictures([noise(sps, n) for n in range(7)], HandWriter(sps, picture_set()))
    check_exact(units, chosen)


def test_field_pictures_take_over_their_own_headers(play):
    sps = sequence(3, 4, frame_mbs_only=False, poc_type=0)
    writer = HandWriter(sps, picture_set(cabac=True))
    planes = noise(sps, 0)
    common = {"field_pic": True, "frame_num": 0}
    unit = writer.parameter_sets() + writer.pcm(planes, **common, is_idr=True, poc_lsb=2)
    unit += writer.pcm(planes, **common, bottom_field=True, poc_lsb=3, nal_ref_idc=1, marking=marking_of((1, 0)))
    sets = ParameterSets()
    sets.update(unit)
    spliced = splice_picture(unit, planes, sets)
    top, bottom = (parse_slice_header(spliced[n.payload : n.end], sets) for n in scan(spliced) if n.is_slice)
    assert (top.is_idr, top.bottom_field, top.poc_lsb, top.nal_ref_idc, top.marking) == (True, False, 2, 3, "00")
    assert (bottom.is_idr, bottom.bottom_field, bottom.poc_lsb, bottom.nal_ref_idc) == (False, True, 3, 1)
    assert bottom.marking_operations == ((1, 0),) and bottom.field_pic


def _with_long_term_references(sps, pps=None):
    """Every memory_management_control_operation but 0, and what each picture must show (8.2.5.4)."""
    writer = HandWriter(sps, pps or picture_set())
    a, b, c, d, e, f = (noise(sps, n) for n in range(6))
    long_term = {n: (((2, n),),) for n in (0, 1)}  # list_modifications: the picture of this LongTermPicNum
    plan = [
        (writer.pcm, (a,), {"is_idr": True}, a),
        (writer.pcm, (b,), {"frame_num": 1, "marking": marking_of((4, 3), (6, 0))}, b),  # itself becomes long-term 0
        (writer.skip, (), {"frame_num": 2, "list_modifications": long_term[0]}, b),
        (writer.pcm, (c,), {"frame_num": 3, "marking": marking_of((3, 2, 1))}, c),  # frame_num 0 becomes long-term 1
        (writer.skip, (), {"frame_num": 4, "list_modifications": long_term[1]}, a),
        (writer.pcm, (d,), {"frame_num": 5, "marking": marking_of((2, 0), (1, 0))}, d),  # long-term 0 and frame 4 go
        (writer.skip, (), {"frame_num": 6, "list_modifications": long_term[1]}, a),
        (writer.pcm, (e,), {"frame_num": 7, "marking": marking_of((5,))}, e),  # all go, numbering starts anew
        (writer.skip, (), {"frame_num": 1}, e),
        (writer.pcm, (f,), {"frame_num": 2, "nal_ref_idc": 0}, f),
        (writer.skip, (), {"frame_num": 2}, e),
    ]
    order = 0
    units, shown = [], []
    for write, planes, changes, expected in plan:
        order = 0 if changes.get("frame_num") == 1 and units and expected is e else order
        units.append(write(*planes, **changes, **({"poc_lsb": order % 16} if sps.poc_type == 0 else {})))
        shown.append(expected)
        order += 2
    units[0] = writer.parameter_sets() + units[0]
    return units, shown


POC_TYPES = {
    "type 0": {"poc_type": 0},
    "type 1": {"poc_type": 1, "offset_for_non_ref_pic": 1, "offsets_for_ref_frame": (2, 4)},
    "type 2": {},
}


@pytest.mark.parametrize("poc", POC_TYPES.values(), ids=POC_TYPES)
def test_marking_operations_and_long_term_references(poc, play, same_planes, check_exact):
    units, shown = _with_long_term_references(sequence(2, 2, **poc))
    decoded, messages = play(units)
    assert messages == [] and list(decoded) == list(range(11))
    assert all(same_planes(decoded[n], planes) for n, planes in enumerate(shown))
    for chosen in ({0}, {1}, {3}, {5}, {7}, {9}, {0, 1, 3, 5, 7, 9}, set(range(11))):
        check_exact(units, chosen)


def test_an_idr_picture_that_becomes_long_term(play, same_planes):
    sps = sequence(2, 2)
    writer = HandWriter(sps, picture_set())
    a, b = noise(sps, 0), noise(sps, 1)
    units = [
        writer.parameter_sets() + writer.pcm(b, is_idr=True, marking="01", long_term_reference=True),
        writer.pcm(b, frame_num=1),
        writer.skip(frame_num=2, list_modifications=(((2, 0),),)),
    ]
    repaired, messages = play(_spliced(units, [a, a, a], {0}))
    assert (
        messages == [] and same_planes(repaired[0], a) and same_planes(repaired[1], b) and same_planes(repaired[2], a)
    )


def test_picture_order_counts_of_type_1_with_deltas(play):
    """delta_pic_order_cnt is sent in every slice: pictures 1 and 2 are shown in the other order."""
    sps = sequence(2, 2, poc_type=1, offsets_for_ref_frame=(4,), delta_pic_order_always_zero=False)
    writer = HandWriter(sps, picture_set(bottom_field_pic_order_in_frame_present=True))
    deltas = [(0, 0), (6, 1), (-2, 0), (0, -1)]
    planes = [noise(sps, n) for n in range(4)]
    units = [writer.pcm(planes[n], is_idr=n == 0, frame_num=n, delta_poc=deltas[n]) for n in range(4)]
    units[0] = writer.parameter_sets() + units[0]
    sets = ParameterSets()
    sets.update(units[0])
    spliced = _spliced(units, planes, {1, 2, 3})
    headers = [parse_slice_header(unit[scan(unit)[-1].payload :], sets) for unit in spliced]
    assert [header.delta_poc for header in headers] == deltas
    assert list(play(spliced)[0]) == list(play(units)[0])


def test_redundant_pictures_are_dropped(play, same_planes):
    sps = sequence(2, 2)
    writer = HandWriter(sps, picture_set(redundant_pic_cnt_present=True))
    a, b = noise(sps, 0), noise(sps, 1)
    units = [writer.parameter_sets() + writer.pcm(a, is_idr=True), writer.skip(frame_num=1)]
    units[1] += writer.skip(frame_num=1, redundant_pic_cnt=1)
    spliced = _spliced(units, [a, b], {1})
    assert [nal.is_slice for nal in scan(spliced[1])] == [True]
    shown, messages = play(spliced)
    assert messages == [] and same_planes(shown[1], b)


def test_switching_slices_are_refused(play):
    sps = sequence(2, 2)
    writer = HandWriter(sps, picture_set())
    unit = writer.parameter_sets() + writer.pcm(noise(sps, 0), is_idr=True)
    last = scan(unit)[-1]
    sets = ParameterSets()
    sets.update(unit)
    # SI slice: first_mb 0 (1), slice_type 4 (00101), then all zero bits and a stop bit
    switching = unit[: last.payload + 1] + bytes([0b10010110]) + unit[last.payload + 2 :]
    with pytest.raises(SpliceError, match=r"SP and SI.*8\.6"):
        splice_picture(switching, noise(sps, 0), sets)
