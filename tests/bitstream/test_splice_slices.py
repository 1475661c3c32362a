"""Pictures of several slices: those that are broken or missing are replaced, the others stay as they were sent."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.handmade import HandWriter, noise, picture_set, sequence
from b2scvr.bitstream.nal import scan, unescape
from b2scvr.bitstream.slice_header import parse_slice_header, replace_header, slice_nal
from b2scvr.bitstream.splice import splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import SpliceError

COLUMNS, ROWS, TARGET = 8, 6, 3
KINDS = {
    "no deblocking": {"x264-params": "slices=3:no-deblock=1"},
    "no deblocking, CAVLC": {"coder": "cavlc", "x264-params": "slices=3:no-deblock=1"},
    "deblocking within slices": {"slices": "3"},
    "deblocking within slices, CAVLC": {"slices": "3", "coder": "cavlc"},
    "MBAFF": {"x264-params": "slices=3:no-deblock=1:tff=1:weightp=0"},
    "MBAFF, CAVLC": {"coder": "cavlc", "x264-params": "slices=3:no-deblock=1:tff=1:weightp=0"},
}


def _deblocked_within_slices(unit, sets):
    """The unit with disable_deblocking_filter_idc 2 in the place of 0, which ends its slice headers: 1, 1, 1 -> 011, 1, 1."""
    for nal in reversed([nal for nal in scan(unit) if nal.is_slice]):
        header = parse_slice_header(unit[nal.payload : nal.end], sets)
        rbsp = unescape(unit[nal.payload + 1 : nal.end])
        bits = "".join(f"{byte:08b}" for byte in rbsp[:100])[: header.header_bits]
        assert bits.endswith("111") and header.disable_deblocking_filter_idc == 0
        new = replace_header(rbsp, header.header_bits, bits[:-3] + "01111", sets.pps[0].cabac)
        unit = unit[: nal.start] + slice_nal(header, new) + unit[nal.end :]
    return unit


def _encode(moving, options, **size):
    units, _ = split_access_units(encode_h264(moving(6, **size), options={"bf": "0", **options}))
    sets = ParameterSets()
    sets.update(units[0])
    return units, sets


def _slices(unit, sets):
    return [
        (parse_slice_header(unit[nal.payload : nal.end], sets), unit[nal.payload : nal.end])
        for nal in scan(unit)
        if nal.is_slice
    ]


def _rows_of(unit, sets, index):
    """Rows of macroblocks of slice `index` and of the picture's slices' starts."""
    pair = 2 if sets.sps[0].mb_adaptive_frame_field else 1
    starts = [pair * header.first_mb // (COLUMNS * pair) * pair for header, _ in _slices(unit, sets)] + [ROWS]
    return starts[index], starts[index + 1]


def _wrong(first, last):
    wrong = np.zeros((ROWS, COLUMNS), bool)
    wrong[first:last] = True
    return wrong


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_one_of_three_slices_is_replaced_exactly(kind, index, moving, play, same_planes):
    units, sets = _encode(moving, KINDS[kind])
    if "within" in kind:
        units = [_deblocked_within_slices(unit, sets) for unit in units]
    truth, _ = play(units)
    before = _slices(units[TARGET], sets)
    assert {header.disable_deblocking_filter_idc for header, _ in before} <= {1, 2} and len(before) == 3
    wrong = np.zeros((ROWS, COLUMNS), bool)
    wrong[_rows_of(units[TARGET], sets, index)[0], 5] = True
    units[TARGET] = splice_picture(units[TARGET], truth[TARGET], sets, wrong)
    after = _slices(units[TARGET], sets)
    assert [header.first_mb for header, _ in after] == [header.first_mb for header, _ in before]
    for number, ((new, data), (old, sent)) in enumerate(zip(after, before, strict=True)):
        assert new.slice_type == (2 if number == index else 0)  # no longer 5: not all slices are P slices (table 7-6)
        assert number == index or (new.slice_qp_delta, new.marking) == (old.slice_qp_delta, old.marking)
        assert number == index or abs(len(data) - len(sent)) <= 2
    repaired, messages = play(units)
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)


@pytest.mark.parametrize("options", [{}, {"coder": "cavlc"}], ids=["CABAC", "CAVLC"])
def test_deblocking_leaves_a_mark_at_the_edges_only(options, moving, play):
    units, sets = _encode(moving, {"slices": "3", **options})
    truth, _ = play(units)
    assert {header.disable_deblocking_filter_idc for header, _ in _slices(units[TARGET], sets)} == {0}
    first, last = _rows_of(units[TARGET], sets, 1)
    units[TARGET] = splice_picture(units[TARGET], truth[TARGET], sets, _wrong(first, last))
    repaired, messages = play(units)
    changed = np.flatnonzero((repaired[TARGET].y != truth[TARGET].y).any(axis=1))
    edges = np.array([16 * first, 16 * last])
    near = (changed[:, None] >= edges - 3) & (changed[:, None] < edges + 8)
    assert messages == [] and near.any(axis=1).all()
    for i in range(TARGET, 6):  # and so do the pictures that predict from it
        assert np.square(repaired[i].y.astype(float) - truth[i].y).mean() < 0.1


def test_an_intra_picture_keeps_its_slices_to_the_byte(moving, play, same_planes):
    units, sets = _encode(moving, {"x264-params": "slices=3:no-deblock=1"})
    truth, _ = play(units)
    spliced = splice_picture(units[0], truth[0], sets, _wrong(*_rows_of(units[0], sets, 2)))
    assert [data for _, data in _slices(spliced, sets)][:2] == [data for _, data in _slices(units[0], sets)][:2]
    repaired, messages = play([spliced, *units[1:]])
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("damage", ["lost", "header gone"])
@pytest.mark.parametrize("coder", ["cabac", "cavlc"])
def test_what_no_readable_slice_covers_is_replaced(missing, damage, coder, moving, play, same_planes):
    """Slice 0 or 2 gone: its own macroblocks; slice 1 gone: slice 0 too, as nothing says where that one ended."""
    units, sets = _encode(moving, {"coder": coder, "x264-params": "slices=3:no-deblock=1"})
    truth, _ = play(units)
    before = _slices(units[TARGET], sets)
    nal = [nal for nal in scan(units[TARGET]) if nal.is_slice][missing]
    left = units[TARGET][nal.start : nal.payload + 1] if damage == "header gone" else b""
    cut = units[TARGET][: nal.start] + left + units[TARGET][nal.end :]
    units[TARGET] = splice_picture(cut, truth[TARGET], sets, _wrong(*_rows_of(units[TARGET], sets, missing)))
    after = _slices(units[TARGET], sets)
    starts = [header.first_mb for header, _ in before]
    if missing == 0:
        assert [header.first_mb for header, _ in after] == starts and after[0][0].slice_type == 2
    else:
        assert [header.slice_type for header, _ in after] == ([2, 0] if missing == 1 else [0, 2])
    repaired, messages = play(units)
    assert messages == [] and all(same_planes(repaired[i], truth[i]) for i in truth)


def test_slices_in_any_order_come_out_in_order(play, same_planes):
    """Arbitrary slice order (7.4.3, Baseline): the last slice is sent first."""
    sps = sequence(COLUMNS, ROWS, profile_idc=66)
    writer, planes = HandWriter(sps, picture_set()), noise(sps, 1)
    parts = [writer.pcm(planes, slice(16, None), is_idr=True), writer.pcm(planes, slice(0, 16), is_idr=True)]
    unit = writer.parameter_sets() + b"".join(parts)
    sets = ParameterSets()
    sets.update(unit)
    spliced = splice_picture(unit, planes, sets, _wrong(2, 3))
    assert [header.first_mb for header, _ in _slices(spliced, sets)] == [0, 16]
    shown, messages = play([spliced])
    assert messages == [] and same_planes(shown[0], planes)


def test_slices_of_another_picture_and_behind_the_end_are_garbage(play, same_planes):
    sps = sequence(COLUMNS, ROWS)
    writer, planes = HandWriter(sps, picture_set()), noise(sps, 1)
    good = [writer.pcm(planes, slice(0, 16), frame_num=1), writer.pcm(planes, slice(16, 24), frame_num=1)]
    other = writer.pcm(planes, slice(24, None), frame_num=9)
    first = writer.parameter_sets() + writer.pcm(noise(sps, 0), is_idr=True)
    sets = ParameterSets()
    sets.update(first)
    spliced = splice_picture(b"".join([*good, other]), planes, sets, _wrong(3, 6))
    assert [(header.first_mb, header.frame_num) for header, _ in _slices(spliced, sets)] == [(0, 1), (16, 1)]
    shown, messages = play([first, spliced])
    assert messages == [] and same_planes(shown[1], planes)


def test_a_map_of_another_size_is_refused(moving, play):
    units, sets = _encode(moving, {})
    truth, _ = play(units)
    with pytest.raises(SpliceError, match=r"\[6, 7\] macroblocks for a picture whose header says \[6, 8\]"):
        splice_picture(units[1], truth[1], sets, np.ones((6, 7), bool))
