"""What cannot be read is refused in one clear sentence that names the way out, before it can do harm."""

import io
import os

import av
import cv2
import numpy as np
import pytest

from b2scvr.bitstream import reader
from b2scvr.bitstream.demux import MAX_PIXELS
from b2scvr.bitstream.header_damage import FieldRecorder
from b2scvr.bitstream.nal import START_CODE, NalType, escape, scan, unescape
from b2scvr.bitstream.specimens import ALL, make, moving_pictures
from b2scvr.bitstream.syntax import parse_sps
from b2scvr.types import InputError


@pytest.fixture(scope="module")
def pictures():
    return moving_pictures()


def larger_picture(data, width, height):
    """The stream with another picture size in its SPS."""
    out = []
    for nal in scan(data):
        raw = data[nal.payload : nal.end]
        if nal.type == NalType.SPS:
            rbsp = unescape(raw[1:])
            recorders = []

            def reader_of(rbsp, recorders=recorders):
                recorders.append(FieldRecorder(rbsp))
                return recorders[-1]

            sps = parse_sps(rbsp, reader_of)
            fields = recorders[-1].fields
            place = next(i for i, f in enumerate(fields) if f[0] + f[1] == sps.height_bit)
            (start, _, _, old_width), (after, length, _, old_height) = fields[place], fields[place + 1]
            assert (old_width + 1, old_height + 1) == (sps.width_mbs, sps.height_map_units)
            bits = f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"

            def ue(value):
                return "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"

            new = bits[:start] + ue(width // 16 - 1) + ue(height // 16 - 1) + bits[after + length :].rstrip("0")
            new += "0" * (-len(new) % 8)
            raw = raw[:1] + escape(int(new, 2).to_bytes(len(new) // 8, "big"))
        out.append(START_CODE + raw)
    return b"".join(out)


def test_a_huge_picture_size_is_refused_before_anything_is_allocated(pictures):
    stream = make(ALL["cabac"], pictures)
    assert reader.decode(larger_picture(stream, 192, 160)).clip.frames.shape[1:3] == (160, 192)
    for width, height in ((16384, 16384), (8192, 4336)):
        assert width * height > MAX_PIXELS
        with pytest.raises(InputError, match=f"pictures of {width}x{height} are larger .* scale the video down"):
            reader.decode(larger_picture(stream, width, height))


def write_picture(path):
    cv2.imwrite(str(path), moving_pictures(1)[0])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.mp4", b"", "the file is empty; was it downloaded"),
        ("a.txt", b"hello world\nthis is text\n" * 50, "not a video that can be read"),
        ("a.nfo", b"hello world\nthis is text\n" * 50, "not a video that can be read"),
        ("a.mp4", b"hello world\nthis is text\n" * 50, "without its index"),
        ("a.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nb.ts\n#EXT-X-ENDLIST\n", "not a video"),
        ("a.ffconcat", b"ffconcat version 1.0\nfile 'b.mp4'\n", "not a video that can be read .it looks like 'concat'"),
        ("a.h264", bytes(5000), "not a video that can be read"),
        ("b.h264", b"\x00\x00\x01\x09\xf0" * 50, "holds no coded picture"),
        ("a.bin", np.random.default_rng(0).bytes(5000), "not a video that can be read"),
        ("a.png", write_picture, "a still picture, not a video: damage is read from a video's bits; give"),
        ("a.jpg", write_picture, "a still picture, not a video"),
    ],
)
def test_what_is_no_video_is_refused_with_the_way_out(tmp_path, name, content, reason):
    path = tmp_path / name
    content(path) if callable(content) else path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as told:
        reader.read(path)
    message = str(told.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 400
    assert any(word in message for word in ("give", "rebuild", "downloaded"))


def test_folders_pipes_and_files_out_of_reach_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="a folder, not a video"):
        reader.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.h264")
    with pytest.raises(InputError, match=r"not a regular file .* save the video to a file first"):
        reader.read(tmp_path / "pipe.h264")
    with pytest.raises(InputError, match="no such file"):
        reader.read(tmp_path / "nowhere.h264")
    locked = tmp_path / "locked.h264"
    locked.write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(locked), "open", refuse)
    with pytest.raises(InputError, match=r"cannot be opened \(Permission denied\); check its permissions"):
        reader.read(locked)


def test_a_file_of_sound_alone_is_refused(tmp_path, pictures):
    clip = io.BytesIO(make(ALL["h264-mp4"], pictures))
    with av.open(clip) as source, av.open(str(tmp_path / "a.mp4"), "w") as output:
        place = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = place
                output.mux(packet)
    with pytest.raises(InputError, match="holds no video stream, only audio"):
        reader.read(tmp_path / "a.mp4")
