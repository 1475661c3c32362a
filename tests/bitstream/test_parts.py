"""Files read part by part: together the parts are the file, and each is read as the whole would have been."""

from dataclasses import fields

import numpy as np
import pytest

from b2scvr.bitstream import parts, reader
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.parts import CodedFile
from b2scvr.bitstream.planes import rgb_to_planes
from b2scvr.bitstream.repair import splice_stream
from b2scvr.bitstream.specimens import ALL, GOP, make, moving_pictures
from b2scvr.types import AccessUnitStatus, InputError

COUNT = 4 * GOP
REFERENCES = ("past_reference", "future_reference")  # display indices: they count from the first picture that was read
KINDS = [
    "cabac",
    "cavlc",
    "slices",
    "baseline",
    "temporal-direct",
    "mbaff",
    "10-bit",
    "h264-mp4",
    "h264-ts",
    "h264-mkv",
]
UNCUT = ["one-gop", "intra-refresh"]
OTHER_CODECS = ["hevc", "hevc-mkv", "mpeg2", "mpeg2-ts", "mpeg4-avi", "mpeg4-mp4", "vp8", "vp9", "av1-mp4", "av1-obu"]


OPEN = {
    "b-pictures": "b-adapt=0:bframes=2",
    "pyramid": "bframes=3:b-pyramid=normal:ref=4",
    "one-reference": "bframes=1:ref=1",
    "temporal-direct": "bframes=3:ref=5:weightp=2:direct=temporal",
    "mbaff": "b-adapt=0:bframes=2:interlaced=1",
    "slices": "b-adapt=0:bframes=2:slices=3",
}


@pytest.fixture
def file_of(tmp_path):
    """Writes a stream to a file and takes it apart."""

    def write(stream, suffix=".h264"):
        path = tmp_path / f"clip{suffix}"
        path.write_bytes(stream)
        return CodedFile(path)

    return write


def specimen(file_of, name, pictures=COUNT):
    kind = ALL[name]
    suffix = {"matroska": ".mkv", "mpegts": ".ts", "mpeg2video": ".m2v"}.get(kind.container, f".{kind.container}")
    return file_of(make(kind, moving_pictures(pictures)), suffix)


def without_repeated_sets(units):
    """The access units without the parameter sets that are sent again."""
    kept = [units[0]]
    for unit in units[1:]:
        nals = [nal for nal in scan(unit) if nal.type not in (NalType.SPS, NalType.PPS)]
        kept.append(b"".join(unit[nal.start : nal.end] for nal in nals))
    return kept


def assert_same(read, whole):
    """The own pictures of all parts are those of the whole, in order, but for samples and vectors that the decoder made up."""
    at = 0
    for part in read:
        assert part.first == at and np.array_equal(part.numbers, np.arange(at, at + len(part)))
        at += len(part)
        clip = part.coded.clip
        assert np.array_equal(part.units, whole.clip.decode_index[part.numbers])
        intact = part.take(clip.status) == AccessUnitStatus.INTACT
        for field in fields(clip):
            value, true = getattr(clip, field.name), getattr(whole.clip, field.name)
            if (
                not isinstance(true, np.ndarray)
                or len(true) != len(whole.clip)
                or field.name in ("decode_index", "nal_units")
            ):
                continue
            value, true = part.take(value), true[part.numbers]
            if field.name in REFERENCES:
                value = np.where(value >= 0, value + part.start, value)
            if field.name in ("frames", "qp") or field.name.startswith("mv_"):
                value, true = value[intact], true[intact]
            assert np.array_equal(value, true), field.name
    assert at == len(whole.clip)


@pytest.mark.parametrize("name", KINDS)
def test_parts_are_read_as_the_whole(file_of, name):
    file = specimen(file_of, name)
    whole = reader.read_coded(file.path)
    for with_before, starts in ((False, [0, GOP, 2 * GOP, 3 * GOP]), (True, [0, 0, GOP, 2 * GOP])):
        read = list(file.parts(1, with_before))
        assert [len(part) for part in read] == [GOP] * 4 and [part.start for part in read] == starts
        assert_same(read, whole)
        assert b"".join(part.own_stream() for part in read) == whole.stream()


def open_gops(kind, gop=GOP, pictures=COUNT):
    """A stream whose only IDR picture is the first one: the others are recovery points."""
    options = {"x264-params": f"open-gop=1:scenecut=0:keyint={gop}:{OPEN[kind]}"}
    return encode_h264(moving_pictures(pictures), gop=gop, options=options)


@pytest.mark.parametrize("kind", OPEN)
def test_a_stream_is_cut_at_recovery_points_too(file_of, kind):
    file = file_of(open_gops(kind, gop=7, pictures=30))
    whole = reader.read_coded(file.path)
    keys = np.sort(whole.clip.decode_index[whole.clip.is_key]).tolist()
    assert sum(any(nal.type == NalType.IDR for nal in scan(unit)) for unit in file.units) == 1 and len(keys) >= 4
    for with_before in (False, True):
        read = list(file.parts(1, with_before))
        assert [part.start + part.own.start for part in read] == keys
        assert_same(read, whole)
        assert b"".join(part.own_stream() for part in read) == whole.stream()


def test_leading_pictures_are_read_with_the_period_before_whatever_its_length(file_of, monkeypatch):
    file = file_of(open_gops("b-pictures", gop=9, pictures=30))  # I b b P b b P b b I ...
    monkeypatch.setattr(parts, "LONGEST_BEFORE", 0)
    assert [(part.start, len(part)) for part in file.parts(1)] == [(0, 7), (0, 9), (7, 9), (16, 5)]
    without = file_of(open_gops("b-pictures", gop=7, pictures=30))  # I b b P b b P I ...: nothing leads
    assert [part.start for part in without.parts(1)][:4] == [0, 7, 14, 21]


def test_damage_reaches_leading_pictures_over_a_recovery_point(file_of):
    units = file_of(open_gops("b-pictures", gop=9, pictures=30)).units
    units[4] = units[4][: len(units[4]) // 2]  # the P picture before the first recovery point
    file = file_of(b"".join(units))
    whole = reader.read_coded(file.path)
    _, second, *others = read = list(file.parts(1))
    leading = second.take(second.coded.clip.status)[:2]
    assert (leading == AccessUnitStatus.DEPENDENT).all() and second.is_damaged
    assert not any(part.is_damaged for part in others)
    assert_same(read, whole)


def test_the_period_before_is_read_where_damage_is_near(file_of):
    units = specimen(file_of, "cabac-no-b").units
    for at, start in ((2 * GOP + 1, GOP), (2 * GOP + parts.PICTURES_BEFORE, 2 * GOP)):
        damaged = list(units)
        damaged[at] = units[at][: len(units[at]) // 2]
        third = list(file_of(b"".join(damaged)).parts(1))[2]
        assert third.take(third.coded.clip.status)[at - 2 * GOP] == AccessUnitStatus.BROKEN
        assert (third.start, third.first, len(third)) == (start, 2 * GOP, GOP)


def test_damage_is_told_as_in_the_whole(file_of, damaged_stream):
    file = file_of(damaged_stream)
    whole = reader.read_coded(file.path)
    read = list(file.parts(1))
    assert len(read) == 2 and (whole.clip.status == AccessUnitStatus.BROKEN).sum() == 2
    assert_same(read, whole)


def test_a_part_holds_as_many_periods_as_fit(file_of):
    file = specimen(file_of, "cabac")
    pixels = 80 * 96
    assert [len(part) for part in file.parts(2 * GOP * pixels)] == [2 * GOP, 2 * GOP]
    assert [len(part) for part in file.parts(3 * GOP * pixels + 1)] == [3 * GOP, GOP]
    assert [len(part) for part in file.parts()] == [len(file.whole())] == [COUNT]


@pytest.mark.parametrize("name", UNCUT)
def test_what_cannot_be_cut_is_one_part(file_of, name):
    file = specimen(file_of, name)
    [part] = file.parts(1)
    assert len(part) == len(file) == len(part.coded.clip)
    assert np.array_equal(part.take(part.coded.clip.frames), reader.read(file.path).frames)


@pytest.mark.parametrize("name", OTHER_CODECS)
def test_other_codecs_are_cut_at_key_pictures(file_of, name):
    file = specimen(file_of, name)
    whole = reader.read_coded(file.path)
    read = list(file.parts(1))
    assert len(read) >= 4 and all(len(part.coded.clip) < COUNT for part in read)
    assert_same(read, whole)
    assert b"".join(part.own_stream() for part in read) == whole.stream()


@pytest.mark.parametrize("name", ["hevc", "mpeg2", "mpeg4-avi", "vp8"])
def test_damage_of_other_codecs_is_told_in_parts_as_in_the_whole(file_of, name):
    """A period's last pictures, and the next one's leading ones, which need them."""
    clean = specimen(file_of, name)
    data = bytearray(clean.path.read_bytes())
    unit = clean.units[clean._keys[2] - 1]
    at = bytes(data).index(unit) + len(unit) // 2
    data[at : at + len(unit) // 4] = bytes(len(unit) // 4)
    file = file_of(bytes(data), clean.path.suffix)
    whole, read = reader.read_coded(file.path), list(file.parts(1))
    status = np.concatenate([part.take(part.coded.clip.status) for part in read])
    assert len(read) >= 4 and np.array_equal(status, whole.clip.status)
    for part in read:
        assert np.array_equal(part.take(part.coded.clip.frames), whole.clip.frames[part.numbers])
    assert not np.array_equal(whole.clip.frames, reader.read(specimen(file_of, name).path).frames)


def test_pictures_of_other_codecs_that_change_their_size_count_as_lost(file_of):
    small, large = (make(ALL["mpeg2"], moving_pictures(2 * GOP, size)) for size in ((80, 96), (96, 128)))
    for stream in (small + large, small + large + small):
        file = file_of(stream, ".m2v")
        whole, read = reader.read(file.path), list(file.parts(1))
        assert whole.lost[2 * GOP : 4 * GOP].all() and not whole.lost[:GOP].any()
        assert sum(map(len, read)) == len(whole) and len(read) >= 2
        for part in read:
            assert np.array_equal(part.take(part.coded.clip.lost), whole.lost[part.numbers])
            assert np.array_equal(part.take(part.coded.clip.frames), whole.frames[part.numbers])


def test_pictures_that_change_their_size_are_one_part(file_of):
    small = make(ALL["cabac"], moving_pictures(GOP))
    large = make(
        ALL["mbaff"], moving_pictures(GOP, (96, 128))
    )  # in MBAFF: else its parameter sets would pass for damaged
    assert len(list(file_of(small + small + large).parts(1))) == 1
    assert len(list(file_of(small + small).parts(1))) == 2


def test_parameter_sets_that_were_sent_once_go_with_every_part(file_of):
    stream = b"".join(without_repeated_sets(specimen(file_of, "cabac").units))
    file = file_of(stream)
    read = list(file.parts(1))
    assert [bool(part.given_sets) for part in read] == [False, True, True, True]
    assert_same(read, reader.read_coded(file.path))
    assert b"".join(part.own_stream() for part in read) == stream


def test_parameter_sets_that_were_given_stay_out_of_the_repaired_stream(file_of):
    stream = b"".join(without_repeated_sets(specimen(file_of, "cabac").units))
    second = list(file_of(stream).parts(1))[1]
    coded = second.coded
    grey = {0: rgb_to_planes(np.full_like(coded.clip.frames[0], 128), *coded.clip.colour)}
    repaired = second.own_stream(b"".join(splice_stream(coded, grey)))
    assert second.given_sets and second.own.start == 0
    assert [nal.type for nal in scan(repaired)] == [NalType.IDR] + [NalType.SLICE] * (GOP - 1)


def test_a_long_period_is_not_read_again(file_of):
    pictures = moving_pictures(parts.LONGEST_BEFORE + 2 + GOP)
    options = {"x264-params": "scenecut=0"}
    units = file_of(encode_h264(pictures, gop=parts.LONGEST_BEFORE + 2, options=options)).units
    file = file_of(b"".join(without_repeated_sets(units)))
    first, second = file.parts(1)
    assert len(first) == second.first == second.start == parts.LONGEST_BEFORE + 2
    assert second.given_sets and second.coded.access_units[0].startswith(second.given_sets)
    assert first.own_stream() + second.own_stream() == file.path.read_bytes()


def test_a_part_that_cannot_be_decoded_goes_with_another(file_of, monkeypatch):
    decode, file = parts.decode_units_guarded, specimen(file_of, "cabac")

    def refusing(*lengths):
        def decode_some(coded, *rest):
            if len(coded.units) in lengths:
                raise InputError("no picture")
            return decode(coded, *rest)

        monkeypatch.setattr(parts, "decode_units_guarded", decode_some)
        return [len(part) for part in file.parts(1)]

    assert refusing(GOP + parts.PICTURES_BEHIND) == [2 * GOP, GOP, GOP]  # the first: no pictures before it
    assert refusing(2 * GOP) == [GOP] * 4  # the last: no pictures behind it
    assert refusing(GOP, 2 * GOP) == [GOP] * 4  # read with all that comes before it
    with pytest.raises(InputError, match="no picture"):
        refusing(GOP, 2 * GOP, 4 * GOP)
    monkeypatch.setattr(parts, "LONGEST_BEFORE", 0)
    assert refusing(GOP) == [GOP] * 4


def test_parts_between_which_the_idr_picture_is_lost_are_one(file_of):
    units = specimen(file_of, "cabac").units
    idr = next(nal for nal in scan(units[2 * GOP]) if nal.is_slice)
    units[2 * GOP] = units[2 * GOP][: idr.payload + 1] + bytes(4) + units[2 * GOP][idr.payload + 5 :]
    file = file_of(b"".join(units))
    read = list(file.parts(1))
    assert [len(part) for part in read] == [GOP, 2 * GOP, GOP]
    whole = reader.read_coded(file.path)
    assert whole.clip.lost[whole.clip.decode_index == 2 * GOP].all()
    assert_same(read, whole)


def test_what_was_added_to_a_repaired_stream_stays_with_its_part(file_of):
    file = specimen(file_of, "cabac")
    middle = list(file.parts(1, with_before=True))[1]
    units = middle.coded.access_units
    assert (middle.first - middle.start, len(middle)) == (GOP, GOP)
    own = [*units[GOP : 2 * GOP], units[GOP + 1]]
    stream = b"".join([*units[: GOP - 1], units[1], units[GOP - 1], *own, *units[2 * GOP :]])
    added = (GOP - 1, 2 * GOP + 1)  # one before the own pictures, one behind the last of them
    assert middle.own_stream(stream, added) == b"".join(own)
    first = next(file.parts(1))
    start = [units[1], *first.coded.access_units]
    assert first.own_stream(b"".join(start), (0,)) == b"".join(start[: GOP + 1])
