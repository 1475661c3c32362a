from fractions import Fraction

import av
import numpy as np
import pytest

from b2scvr.write.video import RemuxError, remux, write_video

SAME_STRUCTURE = {"bf": "2", "g": "8", "threads": "1", "x264-params": "b-adapt=0:scenecut=0"}  # whatever the pictures


def decode(path):
    with av.open(str(path)) as container:
        rate, sounds = container.streams.video[0].average_rate, len(container.streams.audio)
        frames = list(container.decode(video=0))
        return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [f.time for f in frames], rate, sounds


def container_with_sound(path, pictures):
    """A video with B pictures and a sound track, as a camera would write it."""
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=30, options=SAME_STRUCTURE)
        video.height, video.width, video.pix_fmt = *pictures.shape[1:3], "yuv420p"
        sound = output.add_stream("aac", rate=48000)
        for picture in pictures:
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
        for i in range(12):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.rate, frame.pts, frame.time_base = 48000, i * 1024, Fraction(1, 48000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))


def annexb(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        if stream.codec_context.extradata[:1] == b"\x01":
            rewrite = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
            packets = [out for packet in packets for out in rewrite.filter(packet)]
        return b"".join(map(bytes, packets))


@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
def test_video_shows_the_pictures_at_their_rate(tmp_path, pictures, size):
    height, width = size
    write_video(tmp_path / "a.mp4", pictures[:, :height, :width], fps=29.97)
    shown, times, rate, _ = decode(tmp_path / "a.mp4")
    assert shown.shape == (len(pictures), 96, 128, 3)
    assert float(rate) == pytest.approx(29.97, abs=0.01)
    assert np.abs(shown[:, :height, :width].astype(int) - pictures[:, :height, :width]).mean() < 6
    assert times[1] - times[0] == pytest.approx(1 / 29.97, abs=1e-3)


def test_a_clip_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="T > 0"):
        write_video(tmp_path / "a.mp4", np.zeros((0, 8, 8, 3), np.uint8), 25)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_remux_keeps_times_and_sound_and_replaces_the_pictures(tmp_path, pictures, suffix):
    original, other = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    container_with_sound(original, pictures)
    container_with_sound(other, pictures[:, ::-1])
    remux(annexb(other), original, tmp_path / f"out.{suffix}")
    shown, times, _, sounds = decode(tmp_path / f"out.{suffix}")
    assert np.array_equal(shown, decode(other)[0])
    assert times == decode(original)[1]
    assert sounds == 1


def test_remux_refuses_another_number_of_pictures(tmp_path, pictures, clean_stream):
    container_with_sound(tmp_path / "a.mp4", pictures[:10])
    with pytest.raises(RemuxError, match="10 packets for 24 pictures"):
        remux(clean_stream, tmp_path / "a.mp4", tmp_path / "out.mp4")
