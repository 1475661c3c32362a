"""Long periods read part by part: each part begins with what the one before ended in, and comes out as in the whole."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream import entries, parts, reader
from b2scvr.bitstream.cuts import Cut
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.parts import CodedFile
from b2scvr.bitstream.repair import splice_stream
from b2scvr.bitstream.specimens import ALL, make, moving_pictures
from b2scvr.types import AccessUnitStatus, CorruptionMasks, InputError, RecoveredClip

SIZE, COUNT, BROKEN = (48, 64), 48, 21
KINDS = {
    "p-pictures": {"bf": "0", "sc_threshold": "0"},
    "b-pictures": {"x264-params": "scenecut=0:bframes=3:ref=4"},
    "temporal-direct": {"x264-params": "scenecut=0:bframes=3:b-pyramid=normal:ref=5:direct=temporal"},
    "weighted": {"x264-params": "scenecut=0:bframes=2:weightp=2:weightb=1:ref=3"},
    "intra-refresh": {"x264-params": "scenecut=0:keyint=16:intra-refresh=1:bframes=0"},
    "mbaff": {"x264-params": "scenecut=0:interlaced=1:bframes=2"},
    "cavlc-slices": {"coder": "cavlc", "bf": "0", "slices": "3", "sc_threshold": "0"},
    "access-unit-delimiters": {"bf": "0", "x264-params": "aud=1:scenecut=0"},
}


@pytest.fixture
def file_of(tmp_path):
    def write(stream, suffix=".h264"):
        (tmp_path / f"clip{suffix}").write_bytes(stream)
        return CodedFile(tmp_path / f"clip{suffix}")

    return write


def one_period(kind="p-pictures", count=COUNT):
    return encode_h264(moving_pictures(count, SIZE), gop=1000, options=KINDS[kind])


def damaged(stream, *broken):
    units = reader.decode(stream).access_units
    for number in broken or (BROKEN,):
        units[number] = units[number][: len(units[number]) // 2]
    return b"".join(units)


def truly_repaired(part, clean):
    """What comes of a part whose broken pictures get the true samples."""
    true = reader.decode(clean).clip
    at = np.flatnonzero(part.coded.clip.status == AccessUnitStatus.BROKEN).tolist()
    base = part.repaired_before or part.coded
    samples = {slot: reader_planes(clean)[part.start + slot] for slot in at}
    stream = b"".join(splice_stream(base, samples)) + base.suffix
    frames = reader.decode(stream).clip.frames
    assert np.array_equal(part.take(frames), true.frames[part.numbers])
    return RecoveredClip(frames, CorruptionMasks.blank(part.coded.clip), "splice", stream, tuple(at), {})


def reader_planes(clean):
    """The true samples of all pictures of a stream without B pictures."""
    return entries._samples(reader.decode(clean).access_units, None, range(COUNT))


def read_all(file, recovered=None):
    read = []
    for part in file.parts(1, period_pixels=1):
        if recovered:
            part.recovered = recovered(part)
        read.append(part)
    assert [part.first for part in read] == [0, *np.cumsum([len(part) for part in read])[:-1]]
    assert sum(map(len, read)) == len(file)
    return read


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_one_period_come_out_as_the_whole(file_of, kind):
    stream = one_period(kind)
    read, whole = read_all(file_of(stream)), reader.decode(stream).clip
    assert len(read) >= 3 and all(part.begins_inside for part in read[1:]) and not read[0].begins_inside
    for part in read:
        clip = part.coded.clip
        for name in ("frames", "status", "mode", "qp", "mv_past", "mv_future", "picture_type"):
            assert np.array_equal(part.take(getattr(clip, name)), getattr(whole, name)[part.numbers]), name
        assert part.repaired_before is None and len(clip) < len(whole)
    assert b"".join(part.own_stream() for part in read) == stream


def test_a_container_too(file_of):
    kind = replace(ALL["h264-mp4"], options={"g": "1000", "bf": "2", "sc_threshold": "0"})
    file = file_of(make(kind, moving_pictures(COUNT)), ".mp4")
    read, whole = read_all(file), reader.read(file.path)
    assert len(read) >= 3
    assert np.array_equal(np.concatenate([part.take(part.coded.clip.frames) for part in read]), whole.frames)


def test_damage_is_told_as_in_the_whole_behind_a_part_that_was_not_repaired_in_the_stream(file_of):
    stream = damaged(one_period())
    whole = reader.decode(stream).clip

    def recovered(part):
        blank = CorruptionMasks.blank(part.coded.clip)
        return RecoveredClip(part.coded.clip.frames // 2, blank, "drift", None, (), {})

    read = read_all(file_of(stream), recovered)
    assert sum(part.first > BROKEN for part in read) >= 2
    for part in read:
        clip = part.coded.clip
        assert len(clip) < COUNT
        assert np.array_equal(part.take(clip.frames), whole.frames[part.numbers])
        assert np.array_equal(part.take(clip.status), whole.status[part.numbers])
        if part.first > BROKEN:
            assert np.array_equal(part.restored_before, clip.frames[: part.own.start] // 2)
            traced, known = part.take(clip.damage_trace), whole.damage_trace[part.numbers]
            assert known.mean() > 0.1 and np.abs(traced - known).mean() < 0.1 * known.mean()


def test_damage_that_nobody_answered_for_keeps_the_rest_of_the_period_whole(file_of):
    stream = damaged(one_period())
    read, whole = read_all(file_of(stream)), reader.decode(stream).clip
    assert read[-1].first <= BROKEN + 8 and len(read[-1].coded.clip) == COUNT  # read from its beginning
    for part in read:
        assert np.array_equal(part.take(part.coded.clip.frames), whole.frames[part.numbers])
        assert np.array_equal(part.take(part.coded.clip.status), whole.status[part.numbers])


def test_repaired_parts_go_on_from_what_was_repaired_and_still_tell_the_damage(file_of):
    clean = one_period()
    stream = damaged(clean)
    whole, true = reader.decode(stream).clip, reader.decode(clean).clip
    read = read_all(file_of(stream), lambda part: truly_repaired(part, clean))
    assert len(read) >= 4 and all(len(part.coded.clip) < COUNT for part in read)
    for part in read:
        is_behind = part.first > BROKEN
        assert (part.repaired_before is not None) == is_behind
        assert np.array_equal(part.take(part.coded.clip.status), whole.status[part.numbers])
        if is_behind:  # as a stock decoder shows it, and as it is behind the repaired ones
            assert np.array_equal(part.take(part.coded.clip.frames), whole.frames[part.numbers])
            assert np.array_equal(part.take(part.repaired_before.clip.frames), true.frames[part.numbers])
            assert (part.repaired_before.clip.status == AccessUnitStatus.INTACT).all()


def test_what_is_left_damaged_stays_doubtful_in_the_next_part(file_of):
    clean = one_period()

    def recovered(part):
        out = truly_repaired(part, clean)
        out.left = (
            tuple(range(part.own.stop - 2, part.own.stop)) if part.first <= BROKEN < part.first + len(part) else ()
        )
        return out

    read = read_all(file_of(damaged(clean)), recovered)
    behind = next(part for part in read if part.first > BROKEN)
    assert (behind.repaired_before.clip.status == AccessUnitStatus.DEPENDENT).all()


def test_pictures_that_never_arrived_are_put_in_with_the_others(file_of):
    clean = one_period()
    units = reader.decode(clean).access_units
    file = file_of(b"".join([*units[:BROKEN], *units[BROKEN + 1 :]]))
    first = next(part for part in read_all(file) if part.is_damaged)
    kept, at = first.coded.access_units, BROKEN - first.start
    stream = b"".join([*kept[:at], units[BROKEN], *kept[at:]])
    frames = first.coded.clip.frames
    first.recovered = RecoveredClip(
        frames, CorruptionMasks.blank(first.coded.clip), "splice", stream, (), {}, added=(at,)
    )
    end = first.first + len(first)
    cut = Cut(BROKEN + 1, BROKEN - 3)
    found = entries.begin_behind(first, cut, end, None, "clip")
    assert len(found.sent) == len(found.repaired) == end - cut.start + 1
    resumed = reader.decode(b"".join([*found.repaired, *units[end + 1 :]])).clip
    assert np.array_equal(resumed.frames[-8:], reader.decode(clean).clip.frames[-8:])


def test_a_beginning_that_does_not_lead_to_the_same_pictures_is_not_used(file_of):
    stream = one_period()
    part = next(file_of(stream).parts(1, period_pixels=1))
    end = len(part)
    assert entries.begin_behind(part, Cut(end - 4, end - 7), end, None, "clip") is not None
    assert entries.begin_behind(part, Cut(end - 4, end - 5), end, None, "clip") is None  # others are referred to, too


def test_a_part_that_cannot_be_decoded_behind_its_beginning_goes_with_the_next(file_of, monkeypatch):
    file, decode = file_of(one_period()), parts.decode_units_guarded
    lengths = [len(part) for part in read_all(file)]
    calls = []

    def refusing(coded, *rest):
        calls.append(len(coded.units))
        if len(calls) == 2:
            raise InputError("no picture")
        return decode(coded, *rest)

    monkeypatch.setattr(parts, "decode_units_guarded", refusing)
    assert [len(part) for part in read_all(file)] == [lengths[0], lengths[1] + lengths[2], *lengths[3:]]
