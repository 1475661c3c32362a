"""Limits of levels: figures by hand, and what is said of a stream that grew beyond them."""

from dataclasses import replace

import pytest

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.handmade import sequence
from b2scvr.bitstream.levels import LEVELS, level_notes, level_that_holds, level_use
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.repair import splice_stream

SD = sequence(45, 36, profile_idc=100, level_idc=30)  # 720x576 at level 3, High profile


def test_the_size_of_an_access_unit():
    """384 MaxMBPS / (MinCR fps) = 384 * 40500 / (2 * 25) bytes; of the first one 384 PicSizeInMbs / MinCR."""
    use = level_use([100_000, 400_000, 10_000], SD, 25.0)
    assert (use.level.name, use.picture_bytes, use.picture_limit, use.exceeds) == ("3", 400_000, 311_040, True)
    assert not level_use([300_000, 300_000], SD, 25.0).exceeds
    assert level_use([320_000, 1], SD, 25.0).picture_limit == 384 * 45 * 36 // 2


def test_the_buffer_at_the_highest_rate():
    """High profile, level 3: 10000 * 1500 bits a second, as many in the buffer: 600,000 bits from picture to picture."""
    use = level_use([100_000] * 10, SD, 25.0)
    assert use.buffer_limit == 15_000_000 and use.buffer_bits == 800_000 + 9 * 200_000 and not use.exceeds
    assert level_use([10_000, 75_000, 10_000], SD, 25.0).buffer_bits == 600_000
    assert level_use([300_000] * 9, SD, 25.0).buffer_bits == 2_400_000 + 8 * 1_800_000
    assert level_use([300_000] * 9, SD, 25.0).exceeds and not level_use([300_000] * 8, SD, 25.0).exceeds
    main = replace(SD, profile_idc=77)
    assert level_use([300_000], main, 25.0).buffer_limit == 12_000_000
    assert level_use([300_000], replace(SD, profile_idc=122), 25.0).buffer_limit == 48_000_000


def test_the_lowest_level_that_holds():
    assert level_that_holds([10_000] * 5, SD, 25.0).name == "3"  # 40,500 macroblocks a second exactly
    assert level_that_holds([100_000, *[400_000] * 4], SD, 25.0).name == "3.1"
    assert level_that_holds([10_000] * 5, SD, 26.0).name == "3.1"
    assert level_that_holds([200_000_000] * 5, SD, 25.0) is None
    assert level_use([1], replace(SD, level_idc=35), 25.0) is None and level_use([], SD, 25.0) is None
    assert [level.name for level in LEVELS if level.least_compression == 4] == ["3.1", "3.2", "4"]


def test_a_spliced_stream_that_outgrows_its_level_says_so(moving, play):
    stream = encode_h264(moving(6), options={"bf": "0", "x264-params": "level=10:ref=1"})
    coded = decode(stream)
    truth, _ = play(coded.access_units)
    units = splice_stream(coded, {slot: truth[int(coded.clip.decode_index[slot])] for slot in (2, 3)})
    grown, passed = level_notes(coded.access_units, units, 25.0)
    times = sum(map(len, units)) / len(stream)
    assert f"{times:.1f} times as large" in grown
    assert "limits of level 1 that it names (H.264 A.3)" in passed and "a decoder of level" in passed
    assert "18" in passed and "instead of 11404" in passed  # 384 * 1485 / (2 * 25) bytes
    assert len(level_notes(coded.access_units, units, 1.0)) == 1  # a second for each picture is enough
    assert level_notes(coded.access_units, coded.access_units, 25.0) == []


@pytest.mark.parametrize("fps", [0.0, -1.0])
def test_without_a_frame_rate_only_the_growth_is_told(fps):
    assert len(level_notes([b"\0\0\1\x41\x80"], [b"\0\0\1\x41\x80" * 9], fps)) == 1
