"""Which NAL units make up a picture: the whole stream, cut in the right places."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import START_CODE, scan


def units_of(stream):
    units, suffix = split_access_units(stream)
    assert b"".join(units) + suffix == stream  # no byte is lost
    return units


@pytest.mark.parametrize("options", [{}, {"slices": "3"}, {"bf": "0"}, {"aud": "1"}, {"x264-params": "open-gop=1"}])
def test_one_unit_a_picture(pictures, options):
    assert len(units_of(encode_h264(pictures, gop=8, options=options))) == len(pictures)


def test_parameter_sets_and_delimiters_belong_to_the_picture_behind_them(clean_stream):
    kinds = [[nal.type for nal in scan(unit)] for unit in units_of(clean_stream)]
    assert kinds[0] == [7, 8, 6, 5] and kinds[12] == [7, 8, 5] and kinds[1] == [1]


@pytest.mark.parametrize("slices", ["1", "3"])
def test_garbage_headers_neither_split_nor_join_pictures(pictures, slices):
    units = units_of(encode_h264(pictures, gop=8, options={"slices": slices}))
    spoilt = bytearray(units[5])
    for nal in scan(units[5]):
        spoilt[nal.payload + 1 : nal.payload + 20] = b"\xff" * 19
    found = units_of(b"".join([*units[:5], bytes(spoilt), *units[6:]]))
    assert [len(unit) for unit in found] == [len(unit) for unit in units]


def test_a_picture_whose_first_slice_is_gone_is_still_one_picture(pictures):
    units = units_of(encode_h264(pictures, gop=8, options={"slices": "3"}))
    nals = scan(units[5])
    rest = units[5][nals[1].start :]
    assert len(units_of(b"".join([*units[:5], rest, *units[6:]]))) == len(pictures)


def test_what_is_no_picture_is_left_over(clean_stream):
    noise = bytes(np.random.default_rng(0).integers(0, 256, 200, np.uint8)).replace(b"\x00", b"\x01")
    assert split_access_units(noise) == ([], noise)
    assert split_access_units(b"") == ([], b"")
    units, suffix = split_access_units(clean_stream + START_CODE + b"\x06\x05\x01\x00\x80" + b"\x00" * 5)
    assert len(units) == 24 and suffix.startswith(START_CODE + b"\x06")
