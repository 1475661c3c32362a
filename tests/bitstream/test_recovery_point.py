"""Recovery points: the message, and a stream that begins at one, told as right as it is."""

from dataclasses import replace

import numpy as np
import pytest

from b2scvr.bitstream.bits import BitWriter
from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.nal import START_CODE, escape, scan, unescape
from b2scvr.bitstream.reader import decode
from b2scvr.bitstream.recovery_point import is_recovery_point
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.slice_header import replace_header, slice_nal, write_slice_header
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import AccessUnitStatus

KINDS = {
    "b-pictures": "b-adapt=0:bframes=2",
    "pyramid": "bframes=3:b-pyramid=normal:ref=4",
    "one-reference": "bframes=1:ref=1",
    "cavlc": "b-adapt=0:bframes=2:cabac=0",
    "slices": "b-adapt=0:bframes=2:slices=3",
    "mbaff": "b-adapt=0:bframes=2:interlaced=1",
}
GOP, COUNT = 7, 45
P, B, INTRA = range(3)  # slice_type modulo 5


@pytest.fixture(scope="module", params=KINDS)
def coded(request, moving):
    """A stream whose only IDR picture is the first one."""
    options = f"open-gop=1:scenecut=0:keyint={GOP}:{KINDS[request.param]}"
    return decode(encode_h264(moving(COUNT), gop=GOP, options={"x264-params": options}))


def sei(*messages, trailing=b"\x80"):
    """An SEI NAL unit of (payloadType, payload)."""
    body = b""
    for kind, payload in messages:
        for number in (kind, len(payload)):
            body += b"\xff" * (number // 255) + bytes([number % 255])
        body += payload
    return START_CODE + b"\x06" + escape(body + trailing)


def recovery(count=0, is_exact=True):
    bits = BitWriter()
    bits.ue(count)
    bits.u(is_exact, 1)
    bits.u(0, 3)  # broken_link_flag, changing_slice_group_idc
    bits.align("0")
    return 6, bits.to_bytes()


def slice_like(first_mb, kind, nal_type=1):
    bits = BitWriter()
    bits.ue(first_mb)
    bits.ue(kind)
    bits.u(0xFFFF, 16)
    bits.align("0")
    return START_CODE + bytes([0x60 | nal_type]) + escape(bits.to_bytes())


I_PICTURE = slice_like(0, 7)
LONG = (5, b"x264 - core" * 30)  # user data of more than 255 bytes


@pytest.mark.parametrize("unit, expected", [
    (sei(recovery()) + I_PICTURE, True),
    (sei(LONG, recovery()) + I_PICTURE, True),
    (sei(LONG) + sei((1, b"\x00"), recovery()) + I_PICTURE, True),
    (sei(recovery()) + slice_like(0, 2) + slice_like(40, 4), True),
    (sei(recovery()) + I_PICTURE + slice_like(0, 5), True),  # the second field is predicted from the first
    (sei(recovery()) + slice_like(0, 7) + slice_like(40, 5), False),
    (sei(recovery()) + slice_like(0, 5), False),
    (sei(recovery(count=3)) + I_PICTURE, False),
    (sei(recovery(is_exact=False)) + I_PICTURE, False),
    (sei(recovery()), False),
    (sei(LONG) + I_PICTURE, False),
    (I_PICTURE, False),
    (b"", False),
    (sei(recovery()) + slice_like(0, 7, nal_type=5), False),  # an IDR picture is more than that
    (sei((6, b"")) + I_PICTURE, False),
    (sei((6, b"\x00")) + I_PICTURE, False),  # no code of recovery_frame_cnt ends there
    (START_CODE + b"\x06\x06\x09\x80" + I_PICTURE, False),  # cut off
    (START_CODE + b"\x06" + b"\xff" * 9 + I_PICTURE, False),
    (sei(recovery()) + START_CODE + b"\x61\x00\x00" + I_PICTURE[-3:], False),  # garbage where the slice was
])  # fmt: skip
def test_the_message_and_an_intra_picture_make_a_recovery_point(unit, expected):
    assert is_recovery_point(unit) is expected


def test_x264_writes_them_in_open_gops(coded, moving):
    found = [is_recovery_point(unit) for unit in coded.access_units]
    assert sum(found) >= COUNT // GOP - 1 and not found[0]
    keys = np.sort(coded.clip.decode_index[coded.clip.is_key])
    assert keys.tolist() == [0, *np.flatnonzero(found)]
    assert (coded.clip.status == AccessUnitStatus.INTACT).all()
    refresh = encode_h264(moving(20), options={"x264-params": "intra-refresh=1:bframes=0:keyint=8"})
    assert not any(map(is_recovery_point, decode(refresh).access_units))


def test_a_stream_that_begins_at_one_is_doubted_no_further_than_it_is_wrong(coded):
    """The leading pictures have nothing to predict from; all others are right."""
    for start in np.sort(coded.clip.decode_index[coded.clip.is_key])[1:]:
        clip = decode(b"".join(coded.access_units[start:])).clip
        right = (clip.frames == coded.clip.frames[-len(clip) :]).all((1, 2, 3))
        leading = np.arange(len(clip)) < np.flatnonzero(clip.is_key)[0]
        assert (clip.status[leading] == AccessUnitStatus.DEPENDENT).all() and right[~leading].all()
        assert (clip.status[~leading] == AccessUnitStatus.INTACT).all()


def test_a_lost_reference_picture_is_forgotten_behind_the_next_one(coded):
    clip = coded.clip
    keys = np.sort(clip.decode_index[clip.is_key])
    gone = next(i for i in range(keys[2] + 1, keys[3]) if clip.is_reference[clip.decode_index == i])
    shown = int(np.flatnonzero(clip.decode_index == gone)[0])
    damaged = decode(b"".join(unit for i, unit in enumerate(coded.access_units) if i != gone)).clip
    true = np.delete(clip.frames, shown, axis=0)
    wrong = (damaged.frames != true).any((1, 2, 3))
    later = np.arange(len(damaged)) >= np.flatnonzero(clip.decode_index == keys[3])[0] - 1
    assert wrong.any() and not wrong[later].any()
    assert (damaged.status[wrong] != AccessUnitStatus.INTACT).all()
    assert (damaged.status[later] == AccessUnitStatus.INTACT).all()


@pytest.fixture(scope="module")
def regular(moving):
    """Access units of I b b P b b P b b I ..., in decoding order I P b b P b b I b b ...; no B picture is a reference."""
    options = "open-gop=1:scenecut=0:keyint=9:b-adapt=0:bframes=2:b-pyramid=none:ref=3:weightp=0"
    return decode(encode_h264(moving(COUNT), gop=9, options={"x264-params": options})).access_units


def test_doubts_of_leading_pictures_are_those_from_before(regular):
    second = [number for number, unit in enumerate(regular) if is_recovery_point(unit)][1]
    kinds = [slices[0].header.kind for slices in slice_references(regular)]
    assert kinds[second - 3 : second + 4] == [P, B, B, INTRA, B, B, P]
    found = slice_references([*regular[: second - 3], *regular[second - 2 :]])  # the P picture before it is gone
    uncertain = [any(s.uncertain for s in slices) for slices in found]
    assert uncertain[second - 3 : second + 3] == [True, True, False, True, True, False]
    assert not any(uncertain[second + 2 :])


@pytest.mark.parametrize("marking, operations, is_for_good", [
    ("0", (), False),
    ("10011111", ((6, 0),), True),  # the picture becomes a long-term one: a decoder keeps it up to an IDR picture
])  # fmt: skip
def test_a_garbage_header_misleads_until_its_picture_has_made_room(regular, marking, operations, is_for_good):
    units, sets = list(regular), ParameterSets()
    sets.update(units[0])
    header = slice_references(units)[4][0].header
    assert header.kind == P and not is_recovery_point(units[4])
    garbage = replace(header, frame_num=header.frame_num + 5, marking=marking)
    bits = BitWriter()
    write_slice_header(bits, garbage, *sets.of_slice(header.pps_id))
    start = next(nal.start for nal in scan(units[4]) if nal.is_slice)
    rbsp = unescape(units[4][start + len(START_CODE) + 1 :])
    units[4] = units[4][:start] + slice_nal(garbage, replace_header(rbsp, header.header_bits, bits.bit_string(), True))
    found = slice_references(units)
    assert found[4][0].header.marking_operations == operations
    assert all(s.uncertain for slices in found[4:7] for s in slices)
    assert found[-1][0].header.num_ref_idx_active and found[-1][0].uncertain is is_for_good
