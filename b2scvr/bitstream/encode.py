"""H.264 elementary streams from RGB pictures with x264, in the settings of BSCV (High profile, GOP of 16)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from b2scvr.bitstream.zeroed_memory import zeroed_memory
from b2scvr.types import InputError

_DEFAULT_FPS = 25.0
_ELEMENTARY = ("h264", "hevc")  # FFmpeg's names of raw stream formats
_MAX_DENOMINATOR = 1001  # enough for the NTSC rates n * 1000 / 1001


def encode_h264(
    frames: np.ndarray | Iterable[np.ndarray],
    fps: float = 25.0,
    crf: float = 23,
    gop: int = 16,
    options: Mapping[str, str] | None = None,
    crop_odd: bool = False,
    pix_fmt: str = "yuv420p",
) -> bytes:
    """Encode RGB pictures, uint8 [T, H, W, 3] or an iterable of [H, W, 3], into an Annex-B byte stream.

    x264's medium preset: High profile, CABAC, 3 reference pictures, B pyramid, weighted prediction; an IDR picture with
    its SPS and PPS at least every `gop` pictures. One slice a picture, one thread and zeroed memory, so the same input always
    gives the same bytes on one kind of processor. `options` are further encoder options by FFmpeg's names ({"coder":
    "cavlc", "bf": "0", "slices": "3"}), and x264's own names under "x264-params" ({"x264-params":
    "open-gop=1:weightp=0:crop-rect=2,2,4,6"}): "tff=1" gives interlaced pictures in MBAFF (height a multiple of 4 in
    4:2:0), the only kind of interlacing that x264 writes.
    pix_fmt: chroma format and bit depth by FFmpeg's name; the profile follows from it: yuv420p High, yuv420p10le
    High 10, yuv422p and yuv422p10le High 4:2:2, yuv444p and yuv444p10le High 4:4:4 Predictive, gray 4:0:0.

    Decoders take the colours for BT.601, limited range. Raises ValueError for no picture, pictures of unequal size or
    type, settings that x264 refuses, or an odd size that the chroma format cannot hold (only 4:4:4 and gray hold every
    size): with `crop_odd` the last row or column is dropped instead.
    """
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("encode_h264: no picture to encode")
    chroma = av.VideoFormat(pix_fmt)
    first = _fit(first, chroma, crop_odd)
    buffer = io.BytesIO()
    with zeroed_memory(), av.open(buffer, "w", format="h264") as container:
        rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
        stream = container.add_stream("libx264", rate=rate, options=_encoder_options(crf, gop, options))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pix_fmt
        _open(stream)
        if unknown := sorted(stream.codec_context.options):
            raise ValueError(f"encode_h264: x264 has no option {unknown[0]!r}")
        container.mux(stream.encode(_frame(first)))
        for picture in pictures:
            fitted = _fit(picture, chroma, crop_odd)
            if fitted.shape != first.shape:
                raise ValueError(f"encode_h264: pictures of {first.shape[:2]} and {fitted.shape[:2]} in one clip")
            container.mux(stream.encode(_frame(fitted)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def encode_video(
    path: Path,
    size: tuple[int, int] | None = None,
    crf: float = 23,
    gop: int = 16,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
) -> bytes:
    """Encode the first video stream of a file as `encode_h264` does, at its own frame rate; an odd size loses its last line.

    size: (width, height) to scale to; None keeps the native one. Raises InputError for a file without pictures.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise InputError(f"{path}: holds no video stream that can be decoded")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1  # the same pictures everywhere
            pictures = _decoded(container, stream, size)
            first = next(pictures, None)
            if first is None:
                raise InputError(f"{path}: holds no picture")
            clip = itertools.chain([first], pictures)
            return encode_h264(clip, _frame_rate(container, stream), crf, gop, options, crop_odd=True, pix_fmt=pix_fmt)
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: not a video that can be read ({error})") from error


def _frame_rate(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    # An elementary stream has no timestamps: FFmpeg makes up 25 pictures a second, only its parameter sets know better.
    rate = stream.codec_context.framerate if container.format.name in _ELEMENTARY else stream.average_rate
    return float(rate or stream.guessed_rate or _DEFAULT_FPS)


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, size: tuple[int, int] | None
) -> Iterator[np.ndarray]:
    scale, convert = VideoReformatter(), VideoReformatter()  # kept: a new one sets up its tables for each picture
    for frame in container.decode(stream):
        scaled = frame if size is None else scale.reformat(frame, width=size[0], height=size[1], threads=1)
        yield convert.reformat(scaled, format="rgb24", threads=1).to_ndarray()


def parse_options(specifications: Iterable[str]) -> dict[str, str]:
    """Return encoder options, each given as KEY=VALUE, by name. Raises ValueError for one that is not."""
    options = {}
    for given in specifications:
        name, equals, value = given.partition("=")
        if not (name and equals):
            raise ValueError(f"an option of the encoder is KEY=VALUE, like slices=4, got {given!r}")
        options[name] = value
    return options


def _encoder_options(crf: float, gop: int, options: Mapping[str, str] | None) -> dict[str, str]:
    if gop < 1:
        raise ValueError(f"encode_h264: gop must be at least 1, not {gop}")
    # libx264 splits pictures into a slice per thread unless both are 1.
    return {"preset": "medium", "crf": str(crf), "g": str(gop), "threads": "1", "slices": "1", **(options or {})}


def _open(stream: av.VideoStream) -> None:
    try:
        stream.codec_context.open()
    except av.error.FFmpegError as error:  # x264 says no more than that
        settings = f"{stream.width}x{stream.height}, {stream.pix_fmt}, {dict(stream.codec_context.options)}"
        raise ValueError(f"encode_h264: x264 refuses these settings: {settings}") from error


def _fit(picture: np.ndarray, chroma: av.VideoFormat, crop_odd: bool) -> np.ndarray:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"encode_h264: expected uint8 [H, W, 3] pictures, got {picture.dtype} {list(picture.shape)}")
    height, width = picture.shape[:2]
    extra = height % (2 // chroma.chroma_height(2)), width % (2 // chroma.chroma_width(2))
    if any(extra) and not crop_odd:
        side = {(1, 1): "size", (1, 0): "height", (0, 1): "width"}[extra]
        raise ValueError(
            f"encode_h264: {chroma.name} needs an even {side}, not {width}x{height}; crop_odd=True drops the rest"
        )
    return picture[: height - extra[0], : width - extra[1]]


def _frame(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
