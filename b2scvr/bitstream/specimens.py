"""Small streams of every kind, made on the spot: what fuzzing and tests need of each codec, container and coding tool."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import av
import cv2
import numpy as np

from b2scvr.bitstream.encode import encode_h264
from b2scvr.bitstream.zeroed_memory import zeroed_memory

SIZE = (80, 96)  # (height, width) of the pictures: a few macroblocks are enough
PICTURES = 12
GOP = 6
FPS = 25
_SAMPLE_RATE = 44100


@dataclass(frozen=True)
class Specimen:
    """How one kind of stream is made. Elementary H.264 unless a container is named."""

    name: str
    options: dict[str, str] = field(default_factory=dict)  # of the encoder
    pix_fmt: str = "yuv420p"
    encoder: str = "libx264"  # FFmpeg's name
    container: str = "h264"  # FFmpeg's name of the format
    sound: str | None = None  # encoder of a sound track
    b_pictures: int | None = None  # most B pictures in a row, for encoders without such an option


def _x264(parameters: str) -> dict[str, str]:
    return {"x264-params": parameters}


H264 = (
    Specimen("cabac"),
    Specimen("cabac-no-b", {"bf": "0"}),
    Specimen("cavlc", {"coder": "cavlc"}),
    Specimen("cavlc-no-b", {"coder": "cavlc", "bf": "0"}),
    Specimen("baseline", {"profile": "baseline"}),
    Specimen("4x4-transform", _x264("8x8dct=0")),
    Specimen("no-weights", {"weightp": "0", "bf": "2"}),
    Specimen("weights", {"weightp": "2", "bf": "0"}),
    Specimen("temporal-direct", {"direct-pred": "temporal", "bf": "3"}),
    Specimen("one-reference", {"refs": "1", "bf": "0"}),
    Specimen("slices", {"slices": "4"}),
    Specimen("slices-cavlc", {"slices": "3", "coder": "cavlc"}),
    Specimen("open-gop", _x264("open-gop=1:b-adapt=0:bframes=2")),
    Specimen("intra-refresh", _x264("intra-refresh=1:bframes=0")),
    Specimen("one-gop", {"g": "250"}),
    Specimen("intra-only", {"g": "1"}),
    Specimen("no-deblocking", _x264("no-deblock=1")),
    Specimen("access-unit-delimiters", _x264("aud=1:nal-hrd=vbr:vbv-maxrate=400:vbv-bufsize=400")),
    Specimen("cropped", _x264("crop-rect=2,4,6,8")),
    Specimen("lossless", _x264("qp=0"), "yuv444p"),
    Specimen("4:2:2", {}, "yuv422p"),
    Specimen("4:4:4", {}, "yuv444p"),
    Specimen("4:0:0", {}, "gray"),
    Specimen("10-bit", {}, "yuv420p10le"),
    Specimen("10-bit-4:2:2", {}, "yuv422p10le"),
    Specimen("mbaff", _x264("tff=1:weightp=0")),
    Specimen("mbaff-cavlc", {"coder": "cavlc", **_x264("bff=1:weightp=0")}),
)
CONTAINED = (
    Specimen("h264-mp4", container="mp4", sound="aac"),
    Specimen("h264-mkv", container="matroska", sound="aac"),
    Specimen("h264-ts", container="mpegts", sound="aac"),
    Specimen("h264-flv", container="flv", sound="aac"),
    Specimen("h264-avi", container="avi", sound="libmp3lame"),
)
OTHER_CODECS = (
    Specimen("hevc", {"x265-params": "log-level=none:pools=none:frame-threads=1"}, encoder="libx265", container="hevc"),
    Specimen(
        "hevc-mkv",
        {"x265-params": "log-level=none:pools=none:frame-threads=1"},
        encoder="libx265",
        container="matroska",
    ),
    Specimen("mpeg2", encoder="mpeg2video", container="mpeg2video", b_pictures=2),
    Specimen("mpeg2-ts", encoder="mpeg2video", container="mpegts", sound="mp2", b_pictures=2),
    Specimen("mpeg4-avi", encoder="mpeg4", container="avi", sound="libmp3lame"),
    Specimen("mpeg4-mp4", encoder="mpeg4", container="mp4", b_pictures=2),
    Specimen("vp8", {"auto-alt-ref": "1", "lag-in-frames": "10"}, encoder="libvpx", container="webm"),
    Specimen("vp9", {"auto-alt-ref": "1", "lag-in-frames": "10"}, encoder="libvpx-vp9", container="webm"),
    Specimen("av1-mp4", {"preset": "10", "svtav1-params": "lp=1"}, encoder="libsvtav1", container="mp4"),
    Specimen("av1-obu", {"preset": "10", "svtav1-params": "lp=1"}, encoder="libsvtav1", container="obu"),
)
ALL = {specimen.name: specimen for specimen in (*H264, *CONTAINED, *OTHER_CODECS)}


def moving_pictures(pictures: int = PICTURES, size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """Return pictures uint8 [T, H, W, 3]: a textured square that moves over a texture that moves otherwise, with noise."""
    draw = np.random.default_rng(seed)
    height, width = size
    ground, thing = (_texture(draw, height + pictures, width + 2 * pictures) for _ in range(2))
    out = np.empty((pictures, height, width, 3), np.uint8)
    side = height // 2
    for t in range(pictures):
        picture = ground[t : t + height, t : t + width].copy()
        left = (4 + 3 * t) % (width - side)
        picture[side // 2 : side // 2 + side, left : left + side] = thing[:side, :side]
        out[t] = np.clip(picture + draw.normal(0, 2, picture.shape), 0, 255)
    return out


def make(specimen: Specimen, pictures: np.ndarray) -> bytes:
    """Return the specimen as the bytes of a file. pictures: uint8 [T, H, W, 3]. The same input gives the same bytes."""
    if specimen.encoder == "libx264" and specimen.container == "h264":
        return encode_h264(pictures, FPS, gop=GOP, options=specimen.options, pix_fmt=specimen.pix_fmt)
    buffer = io.BytesIO()
    options = {"fflags": "+bitexact"}  # no random numbers in headers
    with (
        _scheduled_as_before(),
        zeroed_memory(),
        av.logging.Capture(),
        av.open(buffer, "w", format=specimen.container, options=options) as output,
    ):
        video = output.add_stream(specimen.encoder, rate=FPS, options={"g": str(GOP), **specimen.options})
        assert isinstance(video, av.VideoStream)
        video.height, video.width = pictures.shape[1:3]
        video.pix_fmt = specimen.pix_fmt
        video.codec_context.thread_count = 1
        if specimen.b_pictures is not None:
            video.codec_context.max_b_frames = specimen.b_pictures
        sound = output.add_stream(specimen.sound, rate=_SAMPLE_RATE, layout="stereo") if specimen.sound else None
        for picture in pictures:
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(video.encode(None))
        if isinstance(sound, av.AudioStream):
            _write_sound(output, sound, len(pictures) / FPS)
    return buffer.getvalue()


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """SVT-AV1 makes the thread that calls it a real-time one where it may (as root): no other would run for long after."""
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _texture(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    noise = cv2.GaussianBlur(draw.uniform(0, 255, (height, width, 3)).astype(np.float32), (0, 0), 2)
    return np.clip((noise - 128) * 4 + 128, 0, 255)


def _write_sound(output: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    """Write a rising tone."""
    size = stream.codec_context.frame_size
    for start in range(0, round(seconds * _SAMPLE_RATE), size):
        phase = np.arange(start, start + size, dtype=np.float32)
        tone = 0.3 * np.sin(phase * (0.02 + phase / 1e6))
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.rate, frame.pts, frame.time_base = _SAMPLE_RATE, start, Fraction(1, _SAMPLE_RATE)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
