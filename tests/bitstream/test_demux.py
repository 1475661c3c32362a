"""Containers and codecs: one access unit a slot in each, and what cannot be read is refused in one clear sentence."""

import io
import itertools
import os
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.bitstream.demux import demux
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.specimens import ALL, CONTAINED, OTHER_CODECS, PICTURES, SIZE, make, moving_pictures
from b2scvr.types import AccessUnitStatus, InputError, PictureType, PredictionMode

CODECS = {"libx264": "h264", "libx265": "hevc", "mpeg2video": "mpeg2video", "mpeg4": "mpeg4"}
CODECS |= {"libvpx": "vp8", "libvpx-vp9": "vp9", "libsvtav1": "av1"}
MORE = {
    f"{name}.{container}": replace(ALL[name], container=container, sound=None)
    for name, container in itertools.chain(
        itertools.product(["cabac", "hevc", "mpeg4-mp4", "av1-mp4", "vp9"], ["mp4", "matroska"]),
        itertools.product(["cabac", "hevc", "mpeg2"], ["mpegts"]),
        [
            ("cabac", "mov"),
            ("cabac", "3gp"),
            ("mpeg2", "mpeg"),
            ("vp9", "ivf"),
            ("av1-mp4", "ivf"),
            ("av1-mp4", "webm"),
        ],
    )
}


@pytest.fixture(scope="module")
def pictures():
    return moving_pictures()


def read_from(tmp_path, data, suffix):
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(data)
    return reader.decode_file(path)


@pytest.mark.parametrize(
    "specimen", [*CONTAINED, *OTHER_CODECS, *MORE.values()], ids=[*(s.name for s in CONTAINED + OTHER_CODECS), *MORE]
)
def test_every_codec_and_container_gives_its_pictures(specimen, pictures):
    codec_format = specimen.container if specimen.container in ("h264", "hevc") else None
    clip = reader.decode(make(specimen, pictures), codec_format).clip
    assert clip.codec == CODECS[specimen.encoder] and clip.fps == pytest.approx(25)
    assert len(clip) == PICTURES and clip.frames.shape[1:3] == SIZE
    assert not clip.status.any() and clip.is_key[0] and clip.picture_type[0] == PictureType.I
    difference = np.abs(clip.frames.astype(int) - pictures).mean(axis=(1, 2, 3))
    shifted = np.abs(clip.frames[:-1].astype(int) - pictures[1:]).mean(axis=(1, 2, 3))
    assert (difference[:-1] < shifted).all()  # each in its own slot
    if clip.codec == "h264":
        assert not clip.notes
    else:
        assert any(clip.codec in note and "counts as intact" in note for note in clip.notes)
    if clip.codec in ("hevc", "vp8", "vp9", "av1"):
        assert any("no motion vectors, no prediction modes, no QP, no concealment map" in note for note in clip.notes)
        assert not clip.mv_past_valid.any() and (clip.mode == PredictionMode.UNKNOWN).all() and (clip.qp == -1).all()


def test_a_container_gives_the_elementary_stream(pictures):
    plain = reader.decode(make(ALL["cabac"], pictures))
    contained = reader.decode(make(replace(ALL["h264-mp4"], sound=None), pictures), None)
    nals = [[unit[n.payload : n.end] for n in scan(unit) if n.is_slice] for unit in contained.access_units]
    assert len(nals) == len(plain.access_units) and all(len(found) == 1 for found in nals)
    sets = [[n.type for n in scan(unit)] for unit in contained.access_units]
    assert all(NalType.SPS in types and NalType.PPS in types for types in sets if NalType.IDR in types)
    again = reader.decode(contained.stream())
    assert np.array_equal(again.clip.frames, contained.clip.frames)


@pytest.mark.parametrize("name", ["h264-mp4", "hevc-mkv"])
def test_lengths_that_do_not_add_up_are_damage(name, pictures):
    """A decoder may read such a sample without a word."""
    data = make(replace(ALL[name], sound=None), pictures)
    packet = packets_of(data)[4]
    place = data.index(packet)
    longer = (int.from_bytes(packet[:4], "big") + 50).to_bytes(4, "big")
    clip = reader.decode(data[:place] + longer + data[place + 4 :], None).clip
    slot = int(np.flatnonzero(clip.decode_index == 4)[0])
    assert len(clip) == PICTURES and clip.status[slot] == AccessUnitStatus.BROKEN
    assert clip.status.tolist().count(AccessUnitStatus.BROKEN) == 1


# --- slots ----------------------------------------------------------------------------------------------------------


def packets_of(data):
    with av.open(io.BytesIO(data)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def avi_of(packets, encoder="mpeg4"):
    """An AVI file of these video packets."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as output:
        stream = output.add_stream(encoder, rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), number, number
            packet.duration = 1
            output.mux(packet)
    return buffer.getvalue()


def not_coded(vop):
    """A VOP that says: show the one before again (vop_coded 0), at the time of `vop`."""
    bits = f"{int.from_bytes(vop[4:10], 'big'):048b}"
    seconds = bits.index("0", 2) + 1  # behind modulo_time_base
    head = "01" + bits[2 : seconds + 1 + 5 + 1] + "0"  # marker, 5 bits of vop_time_increment, marker, vop_coded
    head += "0" + "1" * (-(len(head) + 1) % 8)
    return b"\x00\x00\x01\xb6" + int(head, 2).to_bytes(len(head) // 8, "big")


def test_a_picture_that_was_not_coded_repeats_the_one_before(pictures):
    packets = packets_of(make(replace(ALL["mpeg4-avi"], sound=None), pictures))
    packets[4] = not_coded(packets[4])
    clip = reader.decode(avi_of(packets), None).clip
    assert len(clip) == PICTURES and not clip.lost.any() and not clip.status.any()
    assert np.array_equal(clip.frames[4], clip.frames[3]) and not np.array_equal(clip.frames[5], clip.frames[4])
    assert (clip.mode[4] == PredictionMode.SKIP).all() and (clip.past_reference[4] == 3).all()


def test_pictures_packed_together_as_divx_does_come_apart(pictures):
    plain = make(replace(ALL["mpeg4-mp4"], container="avi"), pictures)
    packets = packets_of(plain)
    start = packets[0].index(b"\x00\x00\x01\xb6")
    packets[0] = packets[0][:start] + b"\x00\x00\x01\xb2DivX503b1393p" + packets[0][start:]
    kinds = [packet[packet.index(b"\x00\x00\x01\xb6") + 4] >> 6 for packet in packets]  # vop_coding_type: 2 is B
    packed = []
    for number, packet in enumerate(packets):
        if kinds[number] == 2 and kinds[number - 1] != 2:
            packed[-1] += packet
            packed.append(not_coded(packet))
        else:
            packed.append(packet)
    assert 2 in kinds and packed != packets
    clip, truth = reader.decode(avi_of(packed), None).clip, reader.decode(plain, None).clip
    assert len(clip) == len(truth) and not clip.lost.any()
    assert np.array_equal(clip.frames, truth.frames)


def test_pictures_that_are_never_shown_have_no_slot(pictures):
    data = bytearray(make(ALL["vp8"], pictures))
    clean = reader.decode(bytes(data), None).clip
    packets = packets_of(bytes(data))
    data[data.index(packets[3])] &= ~0x10  # show_frame 0 (RFC 6386 9.1): as an alternative reference frame
    clip = reader.decode(bytes(data), None).clip
    assert len(clip) == PICTURES - 1 and not clip.status.any()
    assert np.array_equal(clip.frames, np.delete(clean.frames, 3, axis=0))


def test_hidden_pictures_of_av1_share_the_unit_of_a_shown_one():
    specimen = replace(ALL["av1-obu"], options={**ALL["av1-obu"].options, "preset": "8", "g": "32"})
    data = make(specimen, moving_pictures(24))
    clip = reader.decode(data, None).clip
    units = demux(data, None, "clip").units
    assert len(clip) == len(units) == 24 and not clip.status.any()
    frames = [sum(kind in (3, 6) for kind in obu_types(unit)) for unit in units]  # OBU_FRAME_HEADER, OBU_FRAME
    assert max(frames) > 1


def obu_types(unit):
    """The types of the OBUs in a temporal unit (AV1 5.3)."""
    position = 0
    while position < len(unit):
        header = unit[position]
        position += 1 + (header >> 2 & 1)
        size = shift = 0
        while True:
            byte = unit[position]
            position, size, shift = position + 1, size | (byte & 0x7F) << shift, shift + 7
            if not byte & 0x80:
                break
        position += size
        yield header >> 3 & 15


@pytest.mark.parametrize("name", [specimen.name for specimen in (*CONTAINED, *OTHER_CODECS)])
def test_a_picture_with_noise_in_it_keeps_its_slot(name, pictures):
    data = make(ALL[name], pictures)
    codec_format = ALL[name].container if ALL[name].container == "hevc" else None
    clean = reader.decode(data, codec_format).clip
    units = demux(data, codec_format, "clip").units
    middle = len(units[5]) // 2
    start = data.index(units[5][middle : middle + 40])
    noise = np.random.default_rng(1).integers(1, 255, 60, np.uint8).tobytes()
    damaged = reader.decode(data[:start] + noise + data[start + len(noise) :], codec_format).clip
    assert len(damaged) == len(clean) and sorted(damaged.decode_index) == list(range(len(clean)))
    slot = int(np.flatnonzero(damaged.decode_index == 5)[0])
    if clean.codec not in ("vp8", "vp9", "hevc"):  # their decoders take what they get
        assert damaged.status[slot] in (AccessUnitStatus.BROKEN, AccessUnitStatus.LOST)
        different = (damaged.frames != clean.frames).any(axis=(1, 2, 3))
        assert not (different & (damaged.status == AccessUnitStatus.INTACT)).any()
    before = clean.decode_index < 5
    assert np.array_equal(damaged.frames[damaged.decode_index < 5], clean.frames[before])


def test_streams_that_lost_their_start(pictures):
    hevc = make(ALL["hevc"], pictures)
    units = demux(hevc, "hevc", "clip").units
    key = next(
        i for i in range(1, PICTURES) if any(units[i][n.payload] >> 1 & 0x3F == 21 for n in scan(units[i]))
    )  # CRA
    leading = sum(units[i][scan(units[i])[0].payload] >> 1 & 0x3F in (8, 9) for i in range(key, PICTURES))
    clip = reader.decode(b"".join(units[key:]), "hevc").clip
    assert len(clip) == PICTURES - key and leading
    assert clip.status.tolist() == [0] + leading * [AccessUnitStatus.LOST] + (PICTURES - key - leading - 1) * [0]

    transport = make(ALL["mpeg2-ts"], pictures)
    clip = reader.decode(transport[188 * 30 + 11 :], None).clip
    assert 6 <= len(clip) < PICTURES and 0 < clip.lost.sum() <= 4  # before the first key picture, and led by it
    assert not clip.status[~clip.lost].any()

    packets = packets_of(make(ALL["vp9"], pictures))
    ivf = make(replace(ALL["vp9"], container="ivf"), pictures)
    clip = reader.decode(ivf[:32] + ivf[32 + sum(12 + len(packet) for packet in packets[:2]) :], None).clip
    assert (
        len(clip) == PICTURES - 2 and (clip.status[:4] != AccessUnitStatus.INTACT).all() and not clip.status[4:].any()
    )


# --- broken containers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast_mp4(pictures, tmp_path_factory):
    """An MP4 file with its index in front."""
    path, clip = tmp_path_factory.mktemp("fast") / "a.mp4", io.BytesIO(make(ALL["h264-mp4"], pictures))
    front = {"movflags": "faststart"}
    with av.open(clip) as source, av.open(str(path), "w", options=front) as output:
        places = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = places[packet.stream.index]
                output.mux(packet)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    return data


def test_a_file_that_was_cut_off_gives_what_is_there_and_says_so(tmp_path, fast_mp4):
    clip = read_from(tmp_path, fast_mp4[: len(fast_mp4) * 2 // 3], ".mp4").clip
    assert 0 < len(clip) < PICTURES and len(set(clip.decode_index)) == len(clip)
    assert any(f"names {PICTURES} pictures, {len(clip)} of them are in the file" in note for note in clip.notes)


def test_an_mp4_without_its_index_is_refused(tmp_path, pictures):
    data = make(ALL["h264-mp4"], pictures)
    (tmp_path / "cut.mp4").write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(InputError, match=r"without its index \(moov\): it was cut off, .* rebuild the index"):
        reader.read(tmp_path / "cut.mp4")


def field_after(data, box, offset, value, size=4):
    place = data.index(box) + 4 + offset
    return data[:place] + value.to_bytes(size, "big") + data[place + size :]


@pytest.mark.parametrize(
    ("box", "offset", "value"),
    [
        (b"stsz", 12, 0x7FFFFFF),  # size of the first sample
        (b"stsz", 12 + 4 * 5, 3),  # of the sixth
        (b"stsz", 4, 77),  # size of all samples
        (b"stsz", 8, 0x7FFFFFF),  # how many samples
        (b"stco", 8, 0x7FFFFF00),  # where the first samples are
        (b"stco", 8, 40),
        (b"stsc", 12, 99999),  # samples a chunk
        (b"stts", 8, 0xFFFFFFFF),
        (b"avcC", 0, 0),
        (b"avcC", 4, 0),  # length of the lengths
    ],
)
def test_an_index_that_lies_is_refused_or_gives_slots_that_hold(tmp_path, fast_mp4, box, offset, value):
    path = tmp_path / "lie.mp4"
    path.write_bytes(field_after(fast_mp4, box, offset, value))
    try:
        clip = reader.read(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert sorted(clip.decode_index) == list(range(len(clip))) and 0 < len(clip) <= PICTURES


def test_a_stream_cut_inside_its_first_picture(tmp_path, pictures):
    stream = make(ALL["cabac"], pictures)
    first = next(nal for nal in scan(stream) if nal.is_slice)
    clip = read_from(tmp_path, stream[: (first.payload + first.end) // 2], ".h264").clip
    assert len(clip) == 1 and clip.status[0] == AccessUnitStatus.BROKEN
    for end in (first.payload + 1, first.payload, first.start, 30, 3):
        (tmp_path / "cut.h264").write_bytes(stream[:end])
        with pytest.raises(InputError, match=r"cut\.h264: (no picture could be decoded|holds no coded picture)"):
            reader.read(tmp_path / "cut.h264")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="no scheduling policies here")
def test_making_a_specimen_leaves_the_process_scheduled_as_it_was():
    before = os.sched_getscheduler(0)
    make(ALL["av1-obu"], moving_pictures(3))
    assert os.sched_getscheduler(0) == before
