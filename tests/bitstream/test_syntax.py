"""Parameter sets and slice headers: bits written by hand, streams of x264, garbage; and picture order counts."""

import logging
import random

import numpy as np
import pytest

from b2scvr.bitstream.bits import BitWriter
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import START_CODE, escape, scan
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets, parse_pps, parse_sps
from b2scvr.types import SpliceError


def _bits(*fields):
    """Write ("u", value, count), ("ue", value), ("se", value) and the trailing bits."""
    writer = BitWriter()
    for kind, *values in fields:
        getattr(writer, kind)(*values)
    writer.u(1, 1)
    writer.align("0")
    return writer.to_bytes()


def _sps(poc=(("ue", 2),), width=7, height=4, frame_mbs_only=1, crop=(0, 3, 0, 3), chroma=1, vui=(("u", 0, 1),)):
    return _bits(
        ("u", 100, 8), ("u", 0, 8), ("u", 31, 8), ("ue", 0),
        ("ue", chroma), *([("u", 0, 1)] if chroma == 3 else []), ("ue", 0), ("ue", 0), ("u", 0, 1),
        ("u", 1, 1), ("u", 1, 1), *[("se", -8)] * 1, ("u", 0, 7 if chroma != 3 else 11),  # scaling list 0: default
        ("ue", 1), *poc, ("ue", 3), ("u", 0, 1), ("ue", width - 1), ("ue", height - 1), ("u", frame_mbs_only, 1),
        *([] if frame_mbs_only else [("u", 0, 1)]), ("u", 1, 1), ("u", 1, 1), *[("ue", c) for c in crop], *vui,
    )  # fmt: skip


def _pps(cabac=1, groups=(), tail=()):
    return _bits(
        ("ue", 5), ("ue", 0), ("u", cabac, 1), ("u", 1, 1), *(groups or [("ue", 0)]), ("ue", 2), ("ue", 0), ("u", 1, 1),
        ("u", 1, 2), ("se", -3), ("se", 0), ("se", 2), ("u", 1, 1), ("u", 0, 1), ("u", 1, 1), *tail,
    )  # fmt: skip


def _sets(sps, pps):
    sets = ParameterSets()
    sets.update(START_CODE + b"\x67" + escape(sps) + START_CODE + b"\x68" + escape(pps))
    return sets


def test_sequence_parameter_set():
    sps = parse_sps(_sps(vui=(("u", 1, 1), ("u", 1, 1), ("u", 255, 8), ("u", 1, 32), ("u", 0, 1), ("u", 1, 1),
                              ("u", 5, 3), ("u", 1, 1), ("u", 1, 1), ("u", 1, 8), ("u", 1, 8), ("u", 9, 8))))  # fmt: skip
    assert (sps.profile_idc, sps.level_idc, sps.chroma_format_idc) == (100, 31, 1)
    assert (sps.width_mbs, sps.height_mbs, sps.crop, sps.size) == (7, 4, (0, 6, 0, 6), (58, 106))
    assert (sps.log2_max_frame_num, sps.poc_type, sps.max_num_ref_frames) == (5, 2, 3)
    assert (sps.matrix_coefficients, sps.full_range) == (9, True)
    plain = parse_sps(_sps())
    assert (plain.matrix_coefficients, plain.full_range, plain.bit_depth_luma, plain.bit_depth_chroma) == (
        2,
        False,
        8,
        8,
    )
    fields = parse_sps(_sps(frame_mbs_only=0, height=2, crop=(1, 1, 0, 1)))
    assert (fields.height_mbs, fields.crop, fields.size) == (4, (2, 2, 0, 4), (60, 108))


def test_picture_parameter_set():
    sets = {0: parse_sps(_sps())}
    pps = parse_pps(_pps(tail=(("u", 1, 1), ("u", 1, 1), ("u", 0, 8), ("se", -2))), sets)
    assert (pps.id, pps.sps_id, pps.cabac, pps.num_slice_groups, pps.pic_init_qp) == (5, 0, True, 1, 23)
    assert (pps.num_ref_idx_active, pps.weighted_pred, pps.weighted_bipred_idc) == ((3, 1), True, 1)
    assert pps.deblocking_filter_control_present and pps.redundant_pic_cnt_present and pps.transform_8x8_mode
    assert not parse_pps(_pps(), sets).transform_8x8_mode
    evolving = parse_pps(_pps(groups=(("ue", 1), ("ue", 4), ("u", 0, 1), ("ue", 6))), sets)
    assert (evolving.num_slice_groups, evolving.slice_group_change_bits) == (2, 3)  # 28 map units, 7 a change: 0..4
    listed = parse_pps(_pps(groups=(("ue", 2), ("ue", 6), ("ue", 27), *[("u", 1, 2)] * 28)), sets)
    assert listed.num_slice_groups == 3 and listed.pic_init_qp == 23


def test_slice_header_with_everything_to_read_over():
    sets = _sets(_sps(poc=(("ue", 0), ("ue", 2))), _pps())
    header = [
        ("ue", 0), ("ue", 6), ("ue", 5), ("u", 9, 5), ("u", 33, 6), ("se", -1), ("ue", 2),  # B slice, up to redundant_pic_cnt
        ("u", 1, 1), ("u", 1, 1), ("ue", 1), ("ue", 0),  # spatial direct; two and one reference
        ("u", 1, 1), ("ue", 0), ("ue", 4), ("ue", 2), ("ue", 1), ("ue", 3), ("u", 0, 1),  # list modification
        ("ue", 5), ("ue", 4), ("u", 1, 1), ("se", 30), ("se", -2), ("u", 0, 1), ("u", 0, 1), ("u", 1, 1),
        *[("se", 1)] * 4, ("u", 0, 1), ("u", 1, 1), *[("se", -7)] * 4,  # weights
        ("u", 1, 1), ("ue", 1), ("ue", 0), ("ue", 3), ("ue", 1), ("ue", 0), ("ue", 5), ("ue", 0),  # marking
        ("ue", 2), ("se", -4), ("ue", 0), ("se", 3), ("se", -3),
    ]  # fmt: skip
    marking = BitWriter()
    for kind, *values in header[-13:-5]:
        getattr(marking, kind)(*values)
    length = BitWriter()
    for kind, *values in header:
        getattr(length, kind)(*values)
    parsed = parse_slice_header(b"\x41" + escape(_bits(*header, ("u", 0x5A, 8))), sets)
    assert (parsed.slice_type, parsed.pps_id, parsed.frame_num, parsed.poc_lsb) == (6, 5, 9, 33)
    assert (parsed.delta_poc_bottom, parsed.redundant_pic_cnt, parsed.slice_qp_delta) == (-1, 2, -4)
    assert parsed.resets_references and parsed.direct_spatial_mv_pred and not parsed.is_idr
    assert (len(parsed.marking), parsed.header_bits) == (marking.length, length.length)
    assert parsed.marking == "1" + "010" + "1" + "00100" + "010" + "1" + "00110" + "1"


def test_idr_slice_header():
    sets = _sets(_sps(), _pps())
    data = _bits(
        ("ue", 0), ("ue", 7), ("ue", 5), ("u", 0, 5), ("ue", 300), ("ue", 0), ("u", 2, 2), ("se", 5), ("ue", 1)
    )
    parsed = parse_slice_header(b"\x65" + escape(data), sets)
    assert (parsed.is_idr, parsed.idr_pic_id, parsed.marking) == (True, 300, "10")
    assert (parsed.slice_qp_delta, parsed.disable_deblocking_filter_idc) == (5, 1)


@pytest.mark.parametrize("options", [{}, {"coder": "cavlc"}, {"bf": "0"}, {"x264-params": "ref=5:slices=3:weightp=2"}])
def test_headers_of_an_encoder(options, moving):
    stream = encode_h264(moving(18, 58, 106, fade=0.02), options=options)
    sets = ParameterSets()
    sets.update(stream)
    (sps,), (pps,) = sets.sps.values(), sets.pps.values()
    assert sps.size == (58, 106) and sps.frame_mbs_only and pps.cabac == ("coder" not in options)
    headers = [parse_slice_header(stream[n.payload : n.end], sets) for n in scan(stream) if n.is_slice]
    assert {h.first_mb for h in headers} == ({0, 7, 21} if "slices=3" in str(options) else {0})
    assert all(0 <= pps.pic_init_qp + h.slice_qp_delta <= 51 for h in headers)
    assert [h.frame_num for h in headers if h.is_idr] == [0] * sum(h.is_idr for h in headers)


@pytest.mark.parametrize(
    "options", [{}, {"bf": "0"}, {"x264-params": "bframes=5:b-adapt=0:b-pyramid=2:open-gop=1:keyint=9"}]
)
def test_picture_order_count_is_the_order_of_display(options, moving):
    stream = encode_h264(moving(40, 48, 64), options=options)
    sets = ParameterSets()
    sets.update(stream)
    counter, period, shown = PocCounter(sets), 0, []
    for nal in scan(stream):
        if nal.is_slice:
            header = parse_slice_header(stream[nal.payload : nal.end], sets)
            period += header.is_idr
            shown.append((period, counter.next(header)))
    order = sorted(range(len(shown)), key=shown.__getitem__)
    assert len(set(shown)) == 40 and order == decode(stream).clip.decode_index.tolist()


def test_picture_order_count_type_1_and_wrap():
    """Example: a cycle of one reference frame of 4 and non-reference frames at -2; type 0 wraps at 16."""
    type_1 = (("ue", 1), ("u", 1, 1), ("se", -2), ("se", 0), ("ue", 1), ("se", 4))
    sets = _sets(_sps(poc=type_1), _pps())

    def count(counter, sets, frame_num, reference, idr=False, lsb=None):
        byte = bytes([(0x60 if reference else 0) | (5 if idr else 1)])
        fields = [("ue", 0), ("ue", 7), ("ue", 5), ("u", frame_num, 5), *([("ue", 0)] if idr else [])]
        fields += [] if lsb is None else [("u", lsb, 4), ("se", 0)]
        fields += [("ue", 0), *([("u", 0, 2 if idr else 1)] if reference else []), ("se", 0), ("ue", 1)]
        header = parse_slice_header(byte + _bits(*fields), sets)
        return counter.next(header)

    counter = PocCounter(sets)
    pictures = [(0, True), (1, True), (2, False), (2, True), (3, False), (0, True)]  # frame_num, is a reference
    counted = [count(counter, sets, n, ref, i == 0) for i, (n, ref) in enumerate(pictures)]
    assert counted == [0, 4, 2, 8, 6, 128]  # frame_num 0 after 3 is a wrap: 32 frames on
    sets = _sets(_sps(poc=(("ue", 0), ("ue", 0))), _pps())
    counter = PocCounter(sets)
    lsbs = [(0, True), (8, False), (12, False), (6, True), (12, True), (2, True), (14, False)]
    assert [count(counter, sets, 0, i == 0 or r, i == 0, lsb) for i, (lsb, r) in enumerate(lsbs)] == [
        0,
        8,
        -4,
        6,
        12,
        18,
        14,
    ]


def test_garbage_is_refused_and_the_last_good_set_stays(caplog):
    with pytest.raises(SpliceError):
        parse_sps(b"")
    with pytest.raises(SpliceError, match="crop"):
        parse_sps(_sps(crop=(30, 30, 0, 0)))
    with pytest.raises(SpliceError, match="SPS 0"):
        parse_pps(_pps(), {})
    sets = _sets(_sps(), _pps())
    before = dict(sets.sps)
    with caplog.at_level(logging.WARNING):
        sets.update(START_CODE + b"\x67\x64\x00")
    assert sets.sps == before and "ignored" in caplog.text
    with pytest.raises(SpliceError, match="not received"):
        parse_slice_header(b"\x65\x88\x80", ParameterSets())
    for nal in (b"", b"\x06\x05", b"\x65"):
        with pytest.raises(SpliceError):
            parse_slice_header(nal, sets)


def test_random_bytes_never_raise_anything_else():
    draw = random.Random(0)
    sets = _sets(_sps(), _pps())
    refused = 0
    for _ in range(500):
        data = draw.randbytes(draw.randrange(1, 40))
        for parse in (parse_sps, lambda d: parse_pps(d, sets.sps), lambda d: parse_slice_header(b"\x41" + d, sets)):
            try:
                parse(data)
            except SpliceError:
                refused += 1
    assert refused > 500


def test_flipped_bits_of_real_sets_never_raise_anything_else(moving):
    stream = encode_h264(moving(1, 32, 32))
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(stream[:120])
        damaged[rng.integers(5, 60)] ^= 1 << rng.integers(8)
        sets = ParameterSets()
        sets.update(bytes(damaged))
        assert len(sets.sps) <= 1 and len(sets.pps) <= 1
