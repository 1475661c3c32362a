"""Repaired streams back in their containers: what was not repaired stays byte for byte, and all keeps its time."""

import hashlib
import io
from dataclasses import replace

import av
import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.bitstream.planes import rgb_to_planes
from b2scvr.bitstream.remux import RemuxError, remux
from b2scvr.bitstream.repair import splice_stream
from b2scvr.bitstream.specimens import ALL, make, moving_pictures
from b2scvr.types import AccessUnitStatus

CONTAINERS = ("h264-mp4", "h264-mkv", "h264-ts", "h264-flv", "h264-avi")
REPLACED = (3, 7)


def every_packet(path, **options):
    """(kind, pts, dts, duration, key picture?, digest) of every packet, times in seconds."""

    def seconds(value, packet):
        return None if value is None else value * packet.time_base

    with av.open(str(path), options=options) as container:
        found = [
            (p.stream.type, seconds(p.pts, p), seconds(p.dts, p), seconds(p.duration, p), p.is_keyframe,
             hashlib.sha256(bytes(p)).hexdigest())
            for p in container.demux() if p.size
        ]  # fmt: skip
    return sorted(found, key=lambda packet: packet[0])  # by stream: how streams interleave is the muxer's


def repaired_stream(path, slots):
    """The file's stream with some pictures replaced by their negatives, as a repair would replace them."""
    coded = reader.decode_file(path)
    frames, colour = coded.clip.frames, coded.clip.colour
    pictures = {slot: rgb_to_planes(255 - frames[slot], *colour) for slot in slots}
    return b"".join(splice_stream(coded, pictures)) + coded.suffix


def check_remux(tmp_path, original, slots=REPLACED, others=0, **options):
    target = tmp_path / f"repaired{original.suffix}"
    repaired = repaired_stream(original, slots)
    assert remux(repaired, original, target) == ()
    before, after = every_packet(original, **options), every_packet(target, **options)
    assert [p[:5] for p in after] == [p[:5] for p in before]
    assert [p for p in after if p[0] == "audio"] == [p for p in before if p[0] == "audio"]
    changed = sum(old[5] != new[5] for old, new in zip(before, after, strict=True))
    assert changed == len(slots) + others
    decoded = reader.decode_file(target).clip
    assert np.array_equal(decoded.frames, reader.decode(repaired).clip.frames)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    return before


def write(tmp_path, name, **changes):
    specimen = replace(ALL[name], **changes)
    path = tmp_path / f"clip.{name.rpartition('-')[2]}"
    path.write_bytes(make(specimen, moving_pictures()))
    return path


@pytest.mark.parametrize("name", CONTAINERS)
def test_all_but_the_repaired_pictures_stays(tmp_path, name):
    packets = check_remux(tmp_path, write(tmp_path, name))
    assert {packet[0] for packet in packets} == {"video", "audio"}


@pytest.mark.parametrize("name", ["h264-mp4", "h264-ts", "h264-mkv"])
def test_times_that_do_not_start_at_zero(tmp_path, name):
    path = tmp_path / f"late.{name.rpartition('-')[2]}"
    clip = io.BytesIO(make(ALL[name], moving_pictures()))
    with av.open(clip) as source, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as output:
        places = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                shift = round(10 / packet.time_base)
                packet.pts += shift
                packet.dts = None if packet.dts is None else packet.dts + shift
                packet.stream = places[packet.stream.index]
                output.mux(packet)
    assert min(packet[1] for packet in check_remux(tmp_path, path)) > 9


def test_an_edit_list_hides_no_picture_and_stays(tmp_path):
    path = write(tmp_path, "h264-mp4")
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12 + 4  # behind the type, version, flags, entry count and the segment's duration
    hidden = 3 * 512  # three pictures in the track's time scale
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") + hidden).to_bytes(4, "big")
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 9
    clip = reader.decode_file(path).clip
    assert len(clip) == 12 and not clip.status.any()
    packets = check_remux(tmp_path, path, advanced_editlist="0")
    assert min(packet[1] for packet in packets if packet[0] == "video") < 0
    with av.open(str(tmp_path / "repaired.mp4")) as container:
        assert len(list(container.decode(video=0))) == 9


def test_a_transport_stream_that_lost_its_start(tmp_path):
    path = write(tmp_path, "h264-ts")
    path.write_bytes(path.read_bytes()[188 * 9 + 77 :])
    clip = reader.decode_file(path).clip
    assert len(clip) == 11 and (clip.status[:5] == AccessUnitStatus.DEPENDENT).all() and not clip.status[5:].any()
    check_remux(tmp_path, path, slots=(len(clip) - 4, len(clip) - 1), others=1)  # the first gets parameter sets


def test_other_video_streams_are_left_out_and_named(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 80, 96, "yuv420p"
        for picture in moving_pictures(4):
            for stream in streams:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            output.mux(stream.encode(None))
    coded = reader.decode_file(path)
    assert any("1 more video stream" in note for note in coded.clip.notes)
    assert remux(coded.stream(), path, tmp_path / "out.mkv") == (
        "the repaired file lacks 1 streams of the original (video)",
    )


def test_another_number_of_pictures_is_refused_and_nothing_is_left(tmp_path):
    path = write(tmp_path, "h264-mp4")
    with pytest.raises(RemuxError, match="12 access units for 5 pictures"):
        remux(make(ALL["cabac"], moving_pictures(5)), path, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


def test_a_file_that_is_no_container_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(RemuxError):
        remux(b"", tmp_path / "a.mp4", tmp_path / "out.mp4")
