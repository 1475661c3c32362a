"""Slices of garbage that were read on into the macroblocks of the next slice, which took its place."""

import numpy as np
import pytest

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.specimens import moving_pictures
from b2scvr.fill import surroundings
from b2scvr.types import AccessUnitStatus

BROKEN, SLICES = 4, 4


def slices_of(unit):
    return [nal for nal in scan(unit) if nal.is_slice]


@pytest.fixture(scope="module", params=["cabac", "cavlc"])
def streams(request):
    """A clean stream of four slices a picture, and it with one picture's first slice taken from a stream of one.

    That slice goes on behind its end, until an error in the midst of the second slice.
    """
    options = {"bf": "0", "coder": request.param, "refs": "1", "weightp": "0"}
    pictures = moving_pictures(10, (128, 160))
    one, _ = split_access_units(encode_h264(pictures, gop=10, options=options))
    units, _ = split_access_units(encode_h264(pictures, gop=10, options={**options, "slices": str(SLICES)}))
    clean, first, [long] = b"".join(units), slices_of(units[BROKEN])[0], slices_of(one[BROKEN])
    data = one[BROKEN][long.start : long.end]
    garbage = data[: len(data) * 2 // 5] + b"\x5a" * 8
    units[BROKEN] = units[BROKEN][: first.start] + garbage + units[BROKEN][first.end :]
    return clean, b"".join(units)


def test_all_of_the_slice_is_concealed_and_the_error_is_ascribed_to_it(streams):
    clip = decode(streams[1]).clip
    starts = np.flatnonzero(clip.slice_start[BROKEN])
    assert len(starts) == SLICES and clip.status[BROKEN] == AccessUnitStatus.BROKEN
    assert np.flatnonzero(clip.concealed[BROKEN]).tolist() == list(range(starts[1])), "what was sent ended there"
    assert clip.concealed.sum() == starts[1]
    assert np.flatnonzero(clip.noticed[BROKEN]).tolist() == [starts[1] - 1] and clip.noticed.sum() == 1
    assert not clip.exhausted[BROKEN] and not clip.is_cut_off, "its bits ran out, but beyond its end"


def test_the_detector_sees_what_was_read(streams):
    clip = decode(streams[1]).clip
    last = int(np.flatnonzero(clip.concealed[BROKEN])[-1])
    assert np.flatnonzero(clip.overwritten[BROKEN].macroblocks).tolist() == list(range(last))
    assert np.flatnonzero(surroundings(clip, BROKEN).concealed).tolist() == [last], "that is wrong for sure"


def test_the_slice_behind_it_is_as_it_was_sent(streams):
    clip, clean = decode(streams[1]).clip, decode(streams[0]).clip
    beyond = 16 * (np.flatnonzero(clip.concealed[BROKEN].any(axis=1))[-1] + 2)  # deblocking reaches over the border
    assert np.array_equal(clip.frames[BROKEN, beyond:], clean.frames[BROKEN, beyond:])
    assert not np.array_equal(clip.frames[BROKEN], clean.frames[BROKEN])


def test_where_slices_end_as_they_should_nothing_is_concealed(streams):
    clip = decode(streams[0]).clip
    assert not clip.noticed.any() and not clip.concealed.any() and (clip.status == AccessUnitStatus.INTACT).all()
