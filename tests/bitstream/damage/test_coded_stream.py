"""What the damage models see of a stream: access units, slices, protected bytes."""

import numpy as np

from b2scvr.bitstream.damage.coded_stream import CodedStream, spans
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan


def test_parameter_sets_belong_to_the_picture_behind_them(moving):
    stream = CodedStream(encode_h264(moving(6, 48, 64), gop=3, options={"slices": "2", "bf": "0"}))
    types = [unit.type for unit in stream.units]
    assert types[-6:].count(NalType.SLICE) == 4 and types.count(NalType.SPS) == 2
    second = [number for number, kind in enumerate(types) if kind == NalType.SPS][1]
    assert stream.access_units[second] == 3 == stream.access_units[second - 1] + 1
    of_slices = [(item.access_unit, item.unit) for item in stream.slices]
    assert [number for number, _ in of_slices] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert stream.slice_numbers[stream.slice_numbers >= 0].tolist() == list(range(12))
    assert stream.access_units[np.array(types) == NalType.SEI].tolist() == [0]


def test_sets_behind_the_last_picture_belong_to_it():
    stream = CodedStream(bytes.fromhex("000001 65 88 11 000001 41 9a 11 000001 68 ce"))
    assert stream.access_units.tolist() == [0, 1, 1] and stream.slice_numbers.tolist() == [0, 1, -1]


def test_protected_parts(moving):
    data = encode_h264(moving(6, 48, 64), gop=3, options={"slices": "2", "bf": "0"})
    stream = CodedStream(data)
    assert not stream.protected(()).any()
    units = scan(data)
    runs = spans(stream.protected(("sets",)))
    assert [nal.start for nal in units if nal.type == NalType.SPS] == [first for first, _ in runs]
    keys = [nal for nal in units if nal.type == NalType.IDR]
    (run,) = spans(stream.protected(("idr",)))
    assert len(keys) == 4 and run == (keys[0].start, keys[1].end)  # both slices of the first IDR picture only
    headers = spans(stream.protected(("headers",)))
    assert headers == [(item.unit.start, item.header_end) for item in stream.slices]
    assert all(item.unit.payload + 2 < item.header_end < item.unit.end for item in stream.slices)


def test_spans():
    assert spans(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 2), (3, 4), (6, 7)]
    assert spans(np.zeros(3, bool)) == spans(np.zeros(0, bool)) == []


def test_nothing_is_found_in_nothing():
    for data in (b"", b"\0\0\1", b"nothing"):
        stream = CodedStream(data)
        assert not stream.units and not stream.slices and not len(stream.access_units) and not len(stream.ends)
        assert stream.protected(("sets", "idr", "headers")).shape == (len(data),)
