import numpy as np
import pytest

from b2scvr.bitstream.describe import access_units, level_name, profile_name, summarise
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.reader import decode


@pytest.fixture(scope="module")
def two_slices(pictures):
    return encode_h264(
        pictures[:6], gop=3, options={"slices": "2", "coder": "vlc", "bf": "0", "refs": "2", "profile": "main"}
    )


def test_a_clean_stream(two_slices):
    summary = summarise(decode(two_slices))
    assert (summary.codec, summary.width, summary.height, summary.pictures) == ("h264", 128, 96, 6)
    (coding,) = summary.coding
    assert (coding.profile, coding.entropy_coding, coding.chroma, coding.bit_depth) == ("Main", "CAVLC", "4:2:0", 8)
    assert coding.reference_frames == 2 and not coding.interlaced and not coding.transform_8x8
    assert summary.slices_a_picture == (2, 2) and summary.types == {"I": 2, "P": 4, "B": 0}
    assert summary.key == [0, 3] and summary.statuses == {"intact": 6, "broken": 0, "dependent": 0, "lost": 0}
    assert summary.bytes == len(two_slices) and summary.absent == {} and summary.noticed == 0
    assert 1 <= summary.references_used <= 2 and summary.missing_references == 0


def test_access_units_cover_the_stream_in_decoding_order(clean_stream):
    units = sorted(access_units(decode(clean_stream)), key=lambda unit: unit.decode_index)
    assert [unit.offset for unit in units] == np.cumsum([0, *(unit.size for unit in units[:-1])]).tolist()
    assert sum(unit.size for unit in units) == len(clean_stream)
    slices = [nal for nal in scan(clean_stream) if nal.is_slice]
    assert [unit.reference for unit in units] == [nal.ref_idc > 0 for nal in slices]
    assert [unit.key for unit in units] == [nal.type == 5 for nal in slices]
    assert {unit.slices for unit in units} == {1} and units[0].type == "I"


def test_a_damaged_stream(damaged_stream):
    coded = decode(damaged_stream)
    summary, units = summarise(coded), access_units(coded)
    assert summary.broken and summary.broken == [unit.display_index for unit in units if unit.status == "broken"]
    assert summary.noticed and 0 < summary.concealed < 1
    assert summary.concealed == pytest.approx(np.mean([unit.concealed for unit in units]))
    assert sum(summary.statuses.values()) == sum(summary.types.values()) == len(units)


def test_another_codec_says_what_is_missing(bare_codec_clip):
    summary = summarise(bare_codec_clip)
    assert summary.coding == [] and summary.slices_a_picture is None and summary.references_used is None
    assert set(summary.absent) == {"vectors", "mode", "qp", "noticed", "slices", "concealed", "damage_trace"}
    (first, _) = access_units(bare_codec_clip)
    assert first.slices is None and first.reference is None and (first.offset, first.size) == (0, 3)


@pytest.fixture
def bare_codec_clip():
    from b2scvr.bitstream.assembly import CodedClip, blank_clip

    clip = blank_clip(np.zeros((2, 16, 16, 3), np.uint8), 25.0, "vp9", "")
    clip.decode_index[:] = (0, 1)
    return CodedClip(clip, [b"abc", b"de"])


@pytest.mark.parametrize(
    ("profile", "flags", "name"),
    [
        (66, 0x40, "Constrained Baseline"), (66, 0, "Baseline"), (77, 0x40, "Main"), (100, 0, "High"),
        (100, 0x0C, "Constrained High"), (100, 0x08, "Progressive High"), (110, 0x10, "High 10 Intra"),
        (244, 0x10, "High 4:4:4 Intra"), (244, 0, "High 4:4:4 Predictive"), (99, 0, "profile 99"),
    ],
)  # fmt: skip
def test_profiles(profile, flags, name):
    assert profile_name(profile, flags) == name


@pytest.mark.parametrize(
    ("level", "profile", "flags", "name"),
    [(31, 100, 0, "3.1"), (40, 100, 0, "4"), (11, 66, 0x10, "1b"), (11, 100, 0x10, "1.1"), (9, 100, 0, "1b")],
)
def test_levels(level, profile, flags, name):
    assert level_name(level, profile, flags) == name
