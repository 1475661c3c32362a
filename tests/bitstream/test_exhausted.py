"""Slices that lost their ends, told from slices with bits missing inside: what was decoded before the end is right."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.assembly import lack_slices
from b2scvr.bitstream.concealment import is_exhausted
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.types import AccessUnitStatus


def _damaged(moving, harm, options=None):
    """A clean clip, and the same with `harm` done to the slice data of access units 3 and 8."""
    units, _ = split_access_units(encode_h264(moving(12, 192, 256, noise=6), gop=6, crf=20, options=options or {}))
    clean = decode(b"".join(units)).clip
    for index in (3, 8):
        nal = next(nal for nal in scan(units[index]) if nal.is_slice)
        units[index] = units[index][: nal.payload] + harm(units[index][nal.payload : nal.end])
    return clean, decode(b"".join(units)).clip


def _cut_off(data):
    return data[: len(data) * 4 // 5]


def _without_some(data):
    return data[: len(data) // 3] + data[len(data) // 3 + 40 :]


def test_where_slices_lost_their_ends_what_is_not_concealed_is_right(moving):
    clean, clip = _damaged(moving, _cut_off, {"bf": "0"})
    assert clip.exhausted.sum() == 2 and clip.is_cut_off
    assert (clip.status[clip.exhausted] == AccessUnitStatus.BROKEN).all()
    first = int(np.flatnonzero(clip.exhausted)[0])  # of the second, what is shown depends on the first
    rows = int(np.flatnonzero(clip.concealed[first].any(axis=1))[0])
    assert rows > 1
    kept = (rows - 1) * 16  # deblocking reaches into the row above
    assert np.array_equal(clip.frames[first, :kept], clean.frames[first, :kept])
    assert (clip.frames[first] != clean.frames[first]).any()


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "0", "coder": "cavlc"}], ids=["CABAC", "CAVLC"])
def test_where_bits_are_missing_inside_the_stream_is_not_cut_off(options, moving):
    _, clip = _damaged(moving, _without_some, options)
    assert clip.noticed.any() and not clip.is_cut_off


def test_an_intact_stream_is_not_cut_off(moving):
    clean, _ = _damaged(moving, _cut_off)
    assert not clean.exhausted.any() and not clean.is_cut_off


def _without_slices(moving, pictures, slices=4):
    """A clean clip of several slices a picture, and the same without the second slice of some of its access units."""
    options = {"slices": str(slices), "bf": "0"}
    units, _ = split_access_units(encode_h264(moving(12, 192, 256, noise=6), gop=6, crf=20, options=options))
    clean = decode(b"".join(units)).clip
    for index in pictures:
        nal = [nal for nal in scan(units[index]) if nal.is_slice][1]
        units[index] = units[index][: nal.start] + units[index][nal.end :]
    return clean, decode(b"".join(units)).clip


def test_where_slices_are_not_there_the_others_are_right(moving):
    clean, clip = _without_slices(moving, (3, 8))
    assert np.flatnonzero(clip.exhausted).tolist() == [3, 8] and not clip.noticed.any() and clip.is_cut_off
    rows = np.flatnonzero(clip.concealed[3].any(axis=1))
    assert rows.tolist() == [3, 4, 5]  # of twelve: the second of four slices
    right = np.r_[: 3 * 16 - 16, 7 * 16 : 192]  # deblocking reaches into the rows beside
    assert np.array_equal(clip.frames[3, right], clean.frames[3, right])


def test_one_picture_without_any_error_tells_nothing(moving):
    _, clip = _without_slices(moving, (3,))
    assert clip.exhausted.sum() == 1 and not clip.is_cut_off


def test_a_picture_of_one_slice_lacks_none(moving):
    """Garbage that reads as the end of the slice: nothing was noticed, and what was decoded is wrong."""
    _, clip = _without_slices(moving, (3, 8))
    clip.slice_start[:] = False
    clip.slice_start[:, 0, 0] = True
    assert not lack_slices(clip).any()
    clip.slice_start[3, 0, 0], clip.slice_start[3, 6, 0] = False, True  # the first slice is not there
    assert np.flatnonzero(lack_slices(clip)).tolist() == [3]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["error while decoding MB 3 4, bytestream -7\n"], True),
        (["error while decoding MB 3 4, bytestream -7\n", "error while decoding MB 1 9, bytestream 12\n"], False),
        (["error while decoding MB 3 4\n"], False),
        (["concealing 12 DC, 12 AC, 12 MV errors in P frame\n"], False),
        ([], False),
    ],
)
def test_what_the_decoder_says(messages, expected):
    assert is_exhausted(messages) is expected
