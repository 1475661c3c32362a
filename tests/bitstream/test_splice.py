"""The proof: with the true samples spliced into damaged pictures, any picture of the stream comes out bit-exact."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.bits import BitWriter
from b2scvr.bitstream.damage import CutModel, damage
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.pcm import cabac_slice_data, cavlc_slice_data, macroblock_bytes
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.splice import check_spliceable, splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import PictureType, Planes, SpliceError

CODINGS = {
    "x264 defaults": {},
    "CAVLC": {"coder": "cavlc"},
    "no B pictures": {"bf": "0"},  # picture order count type 2
    "B pyramid": {"x264-params": "b-adapt=0:bframes=5:b-pyramid=2:ref=5:weightb=1"},
    "CAVLC, B pyramid": {"coder": "cavlc", "x264-params": "b-adapt=0:bframes=5:ref=5"},
    "baseline": {"profile": "baseline"},
    "slices": {"x264-params": "slices=3:b-adapt=0:bframes=3"},
    "delimiters, open GOP": {"x264-params": "aud=1:open-gop=1"},
    "deblocking set in headers": {"x264-params": "deblock=3,3:8x8dct=0"},
}


def _spliced(units, truth, chosen):
    sets, out = ParameterSets(), []
    for index, unit in enumerate(units):
        sets.update(unit)
        out.append(splice_picture(unit, truth[index], sets) if index in chosen else unit)
    return out


@pytest.mark.parametrize("options", CODINGS.values(), ids=CODINGS)
def test_true_pictures_repair_a_damaged_stream_exactly(options, moving, play, same_planes):
    stream = encode_h264(moving(20, fade=0.02), options=options)
    truth, messages = play(decode(stream).access_units)
    assert not messages
    damaged, cuts = damage(stream, CutModel(slices_per_gop=4, length=300, seed=1))
    units = decode(damaged).access_units
    wrong, messages = play(units)
    hurt = [i for i in truth if not same_planes(wrong[i], truth[i])]
    assert len(units) == 20 and messages and len(hurt) >= 4
    repaired, messages = play(_spliced(units, truth, {cut.access_unit for cut in cuts}))
    assert messages == []
    assert sorted(repaired) == list(range(20)) and all(same_planes(repaired[i], truth[i]) for i in truth)


@pytest.mark.parametrize("options", [{}, {"coder": "cavlc"}, {"bf": "0"}], ids=["CABAC", "CAVLC", "no B pictures"])
def test_every_picture_can_be_replaced(options, moving, play, same_planes):
    """IDR, P, reference and non-reference B, in a picture whose right and lower edge are cropped away."""
    stream = encode_h264(moving(20, 58, 106), options=options)
    units = decode(stream).access_units
    truth, _ = play(units)
    repaired, messages = play(_spliced(units, truth, range(20)))
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)


@pytest.mark.parametrize("qp", [1, 12, 26, 40, 51])
def test_contexts_start_right_at_any_qp(qp, moving, play, same_planes):
    """The PPS carries x264's constant QP, which the contexts of mb_type start from (9.3.1.1)."""
    stream = encode_h264(moving(4, 64, 80), options={"crf": "-1", "qp": str(qp)})
    units = decode(stream).access_units
    sets = ParameterSets()
    sets.update(units[0])
    assert {pps.pic_init_qp for pps in sets.pps.values()} == {qp}
    truth, _ = play(units)
    repaired, messages = play(_spliced(units, truth, range(4)))
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)


def _with_still_tiles(moving):
    """Still tiles in a moving picture: there colZeroFlag overrules vectors predicted from neighbours that move."""
    pictures = moving(17).copy()
    for y in range(8, 96, 48):
        for x in range(8, 128, 48):
            pictures[:, y : y + 24, x : x + 24] = pictures[:1, y : y + 24, x : x + 24]
    return pictures


@pytest.mark.parametrize(("direct", "exact"), [("none", True), ("spatial", False), ("temporal", False)])
def test_direct_prediction_is_all_that_a_replaced_picture_takes_away(direct, exact, moving, play, same_planes):
    options = {"x264-params": f"b-adapt=0:bframes=3:b-pyramid=2:scenecut=0:direct={direct}"}
    units = decode(encode_h264(_with_still_tiles(moving), gop=40, options=options)).access_units
    truth, _ = play(units)
    inexact = 0
    for target in range(len(units)):
        repaired, messages = play(_spliced(units, truth, {target}))
        assert messages == [] and same_planes(repaired[target], truth[target])
        inexact += sum(not same_planes(repaired[i], truth[i]) for i in truth)
    assert (inexact == 0) == exact


def test_only_pictures_with_a_replaced_co_located_picture_lose_vectors(moving, play, same_planes):
    """Temporal direct prediction: the B pictures shown just before a replaced P picture, and what predicts from them."""
    options = {"x264-params": "b-adapt=0:bframes=3:b-pyramid=0:direct=temporal:scenecut=0"}
    coded = decode(encode_h264(moving(17), gop=40, options=options))
    truth, _ = play(coded.access_units)
    target = int(coded.clip.decode_index[8])
    assert coded.clip.picture_type[8] == PictureType.P
    repaired, messages = play(_spliced(coded.access_units, truth, {target}))
    shown = [int(i) for i in coded.clip.decode_index]
    inexact = {t for t, i in enumerate(shown) if not same_planes(repaired[i], truth[i])}
    assert messages == [] and inexact and inexact <= {5, 6, 7}


@pytest.mark.parametrize("options", [{}, {"coder": "cavlc"}], ids=["CABAC", "CAVLC"])
def test_cropped_pictures(options, moving, play, same_planes):
    stream = encode_h264(moving(20, 58, 106), options=options)
    units = decode(stream).access_units
    truth, _ = play(units)
    whole, _ = play(units, cropped=False)
    chosen = {0, 1, 2, 5, 16}
    assert whole[0].y.shape == (64, 112) and truth[0].y.shape == (58, 106)
    exact, messages = play(_spliced(units, whole, chosen))
    assert messages == [] and all(same_planes(exact[i], truth[i]) for i in truth)
    near, messages = play(_spliced(units, truth, chosen))
    assert messages == [] and all(same_planes(near[i], truth[i]) for i in chosen)
    for i in truth:  # others may predict from what is cropped away
        assert np.square(near[i].y.astype(float) - truth[i].y).mean() < 4


def test_headers_are_taken_over_and_other_units_stay(moving, play):
    stream = encode_h264(moving(), options={"x264-params": "aud=1:slices=2"})
    units = decode(stream).access_units
    truth, _ = play(units)
    sets = ParameterSets()
    for unit, planes in zip(units, (truth[i] for i in range(20)), strict=True):
        sets.update(unit)
        spliced = splice_picture(unit, planes, sets)
        before, after = ([u[n.payload : n.end] for n in scan(u) if not n.is_slice] for u in (unit, spliced))
        assert before == after and before[0][0] & 31 == NalType.AUD
        (old, *_), (new, *more) = (
            [parse_slice_header(u[n.payload : n.end], sets) for n in scan(u) if n.is_slice] for u in (unit, spliced)
        )
        assert not more and (new.slice_type, new.slice_qp_delta, new.disable_deblocking_filter_idc) == (7, 0, 1)
        for name in ("nal_ref_idc", "is_idr", "pps_id", "frame_num", "idr_pic_id", "poc_lsb", "marking"):
            assert getattr(new, name) == getattr(old, name)


def test_samples_that_look_like_start_codes(moving, play, same_planes):
    unit = encode_h264(moving(1, 48, 64))
    sets = ParameterSets()
    sets.update(unit)
    rng = np.random.default_rng(0)
    planes = Planes(*(rng.choice([0, 0, 0, 1, 3], size).astype(np.uint8) for size in ((48, 64), (24, 32), (24, 32))))
    spliced = splice_picture(unit, planes, sets)
    assert sum(nal.is_slice for nal in scan(spliced)) == 1
    shown, messages = play([spliced])
    assert messages == [] and same_planes(shown[0], planes)


def test_cavlc_known_answer():
    samples = np.arange(2 * 384, dtype=np.uint16).astype(np.uint8).reshape(2, 384)
    code = b"\x0d\x00"  # mb_type 25 = 000011010, zeros to the byte (table 9-2, 7.3.5)
    assert cavlc_slice_data(BitWriter(), samples) == code + samples[0].tobytes() + code + samples[1].tobytes() + b"\x80"


def test_cabac_known_answer():
    """One macroblock at SliceQP 26, by hand (9.3.4): context 3 starts at pStateIdx 46, valMPS 0, so bin 1 is the LPS.

    mb_type: range 510, rangeLPS 22: low 488, 4 shifts, range 352; terminate: low + 350, range 2, 7 shifts. The flush writes
    the 13 bits below the first one of the register, the last of them set.
    """
    data = cabac_slice_data(BitWriter(), np.zeros((1, 384), np.uint8), 1, 26)
    register = ((488 << 4) + 350 << 7) | 1 << 7
    first_bits = f"{register:021b}"[1:14]
    assert data[:2] == int(first_bits.ljust(16, "0"), 2).to_bytes(2, "big")
    assert data[2:-2] == bytes(384)
    assert data[-2:] == b"\xfe\x80"  # a fresh coder, terminated: low 508 and the stop bit


def test_macroblock_order(first_picture):
    sps = first_picture[1].sps[0]
    planes = Planes(*(np.arange(h * w).reshape(h, w).astype(np.uint8) for h, w in ((32, 32), (16, 16), (16, 16))))
    samples = macroblock_bytes(planes, sps)
    assert samples.shape == (4, 384)
    assert np.array_equal(samples[1, :256].reshape(16, 16), planes.y[:16, 16:])
    assert np.array_equal(samples[2, 256:320].reshape(8, 8), planes.u[8:, :8])
    assert np.array_equal(samples[3, 320:].reshape(8, 8), planes.v[8:, 8:])
    with pytest.raises(ValueError, match="whole number"):
        macroblock_bytes(Planes(planes.y[:30], planes.u, planes.v), sps)


@pytest.fixture(scope="module")
def first_picture(moving):
    unit = encode_h264(moving(1, 48, 64))
    sets = ParameterSets()
    sets.update(unit)
    return unit, sets


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chroma_format_idc": 3, "separate_colour_planes": True}, "colour planes.*7.4.2.1.1"),
        ({"num_slice_groups": 2}, "slice groups.*7.4.2.2"),
    ],
)
def test_what_cannot_be_spliced(changes, reason, first_picture):
    _, sets = first_picture
    sps, pps = sets.sps[0], sets.pps[0]
    check_spliceable(sps, pps)
    with pytest.raises(SpliceError, match=reason):
        if "num_slice_groups" in changes:
            check_spliceable(sps, replace(pps, **changes))
        else:
            check_spliceable(replace(sps, **changes), pps)


def test_pictures_that_cannot_be_replaced(first_picture):
    unit, sets = first_picture
    planes = Planes(np.zeros((48, 64), np.uint8), np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8))
    with pytest.raises(SpliceError, match="not received"):
        splice_picture(unit, planes, ParameterSets())
    with pytest.raises(SpliceError, match="no slice"):
        splice_picture(b"\0\0\0\1\x09\xf0", planes, sets)
    with pytest.raises(SpliceError, match="partitioning"):
        splice_picture(unit + b"\0\0\1\x42\x80", planes, sets)
    with pytest.raises(SpliceError, match="32x48"):
        splice_picture(unit, Planes(planes.y[:, :32], planes.u, planes.v), sets)


def test_a_slice_without_readable_header_is_passed_over(moving, play, same_planes):
    stream = encode_h264(moving(2, 96, 64), options={"x264-params": "slices=2"})
    units = decode(stream).access_units
    truth, _ = play(units)
    sets = ParameterSets()
    sets.update(units[0])
    first = next(nal for nal in scan(units[1]) if nal.is_slice)
    cut = units[1][: first.payload + 1] + units[1][first.end :]  # nothing but the NAL header byte is left
    shown, messages = play([units[0], splice_picture(cut, truth[1], sets)])
    assert messages == [] and same_planes(shown[1], truth[1])
