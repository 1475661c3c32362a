"""Damaged parameter sets: another copy takes their place where the slices say so, and only there."""

import random

import numpy as np
import pytest

from b2scvr.bitstream.header_damage import change_header
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.parameter_repair import mend_parameter_sets
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.specimens import ALL, make, moving_pictures

NAMES = ("cabac", "cavlc", "slices", "mbaff", "4:2:2")


@pytest.fixture(scope="module")
def streams():
    return {name: make(ALL[name], moving_pictures()) for name in NAMES}


def sets_of(data):
    """(number of the NAL unit, its type) of every parameter set."""
    return [(n, nal.type) for n, nal in enumerate(scan(data)) if nal.type in (NalType.SPS, NalType.PPS)]


def units_of(data):
    return [data[nal.payload : nal.end] for nal in scan(data)]


def mend(data):
    pieces, notes = mend_parameter_sets([data])
    return b"".join(pieces), notes


@pytest.mark.parametrize("name", NAMES)
def test_a_clean_stream_stays(streams, name):
    assert mend(streams[name]) == (streams[name], ())
    assert not decode(streams[name]).mended


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", [2, 3])  # the second SPS, the second PPS
def test_cut_off_sets_are_replaced(streams, name, which):
    data = streams[name]
    nal = scan(data)[sets_of(data)[which][0]]
    for end in range(nal.payload + 1, min(nal.end, nal.payload + 8) - 1):  # further on is only what slices don't need
        mended, notes = mend(data[:end] + data[nal.end :])
        assert units_of(mended) == units_of(data) and len(notes) == 1 and notes[0].startswith("1 damaged")


@pytest.mark.parametrize("name", NAMES)
def test_pictures_come_out_as_if_nothing_had_happened(streams, name):
    """Changed fields: where the headers of the slices suffer the set is replaced, else it does no harm to them."""
    data = streams[name]
    clean = decode(data).clip
    mended = 0
    for seed in range(30):
        draw = random.Random(seed)
        damaged, _ = change_header(data, draw.choice(sets_of(data)[2:])[0], draw)
        result, notes = mend(damaged)
        assert bool(notes) == (result != damaged)
        if notes:
            mended += 1
            assert result == data
    assert mended > 10
    number, _ = sets_of(data)[2]
    nal = scan(data)[number]
    coded = decode(data[: nal.payload + 3] + data[nal.end :])
    assert coded.mended and "replaced by another copy" in coded.clip.notes[0]
    assert np.array_equal(coded.clip.frames, clean.frames) and not coded.clip.status.any()


def test_the_first_copy_may_be_the_damaged_one(streams):
    data = make(ALL["cabac"], moving_pictures(18))  # three copies
    nal = scan(data)[0]
    assert nal.type == NalType.SPS
    damaged = data[: nal.payload + 4] + data[nal.end :]
    assert mend(damaged)[0] == data


def test_sets_that_change_for_a_reason_stay():
    """Two clips of different make behind one another."""
    first, second = (make(ALL[name], moving_pictures(6)) for name in ("cabac", "cavlc-no-b"))
    assert mend(first + second) == (first + second, ())
    assert mend(second + first + first) == (second + first + first, ())


def test_without_another_copy_nothing_changes(streams):
    single = make(ALL["one-gop"], moving_pictures())
    nal = scan(single)[0]
    damaged = single[: nal.payload + 4] + single[nal.end :]
    assert mend(damaged) == (damaged, ())


def test_pieces_are_mended_one_by_one(streams):
    data = streams["cabac"]
    coded = decode(data)
    units = list(coded.access_units)
    at = next(i for i in range(1, len(units)) if NalType.SPS in {nal.type for nal in scan(units[i])})
    nal = scan(units[at])[0]
    damaged = [*units[:at], units[at][: nal.payload + 4] + units[at][nal.end :], *units[at + 1 :]]
    assert mend_parameter_sets(damaged)[0] == units


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("torn", [0, 9])  # bytes of the first NAL unit that is left which are gone too
def test_a_stream_that_lost_its_head_gets_the_sets_that_come_later(streams, name, torn):
    data = streams[name]
    whole = decode(data)
    first = whole.access_units[2][torn:]
    rest = b"".join(whole.access_units[3:])
    mended, notes = mend(first + rest)
    assert len(notes) == 1 and "begins without parameter sets" in notes[0]
    sets = [units_of(data)[number] for number, _ in sets_of(data)[:2]]
    start = scan(first + rest)[0].start
    assert mended.startswith(first[:start]) and units_of(mended) == [*sets, *units_of(first + rest)]
    clip = decode(first + rest).clip
    assert len(whole.clip) - 2 - bool(torn) <= len(clip) <= len(whole.clip) - 2  # of a torn one a slice may be left
    assert np.array_equal(clip.frames[-6:], whole.clip.frames[-6:]) and not clip.status[-6:].any()


def test_sets_that_later_slices_alone_understand_are_not_put_first(streams):
    units = units_of(streams["cavlc"])
    garbage = b"".join(b"\0\0\1" + bytes([1]) + bytes(30) for _ in range(3))
    rest = b"".join(b"\0\0\1" + unit for unit in units)
    assert mend(garbage + rest) == (garbage + rest, ())
    assert mend(garbage) == (garbage, ())


def test_a_stream_that_lost_its_head_gets_the_next_sets_as_they_were_meant():
    """Access units 0 and 1 are gone, and the copy that comes next is damaged itself."""
    data = make(ALL["cabac"], moving_pictures(24))  # four copies
    headless = data[[nal for nal in scan(data) if nal.is_slice][2].start :]
    sps = next(nal for nal in scan(headless) if nal.type == NalType.SPS)
    damaged = headless[: sps.payload + 3] + headless[sps.end :]
    coded = decode(damaged)
    assert coded.clip.notes[0].startswith("the stream begins without parameter sets")
    assert coded.clip.notes[1] == "1 damaged sequence parameter sets were replaced by another copy in the stream"
    assert len(coded.clip) == len(decode(headless).clip) == 22
    assert len(decode(coded.stream()).clip) == 22
