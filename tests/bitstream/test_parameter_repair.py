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
