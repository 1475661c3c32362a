"""Recovered pictures as a video file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace

CRF = 16  # near transparent: the frames themselves are beside it
_MAX_DENOMINATOR = 1001  # enough for the NTSC rates n * 1000 / 1001
_SMPTE170M = 6  # matrix of BT.601 (H.264 table E-5)
_LIMITED_RANGE = 1


def write_video(path: Path, pictures: np.ndarray | Iterable[np.ndarray], fps: float, crf: int = CRF) -> None:
    """Write pictures uint8 [T, H, W, 3] RGB, or an iterable of them, as H.264 (x264, 4:2:0, BT.601, limited range).

    The suffix names the container. 4:2:0 holds even sizes only: an odd last row or column is repeated once. Raises
    ValueError for no picture.
    """
    following = iter(pictures)
    first = next(following, None)
    if first is None or first.ndim != 3:
        shape = None if first is None else list(first.shape)
        raise ValueError(f"write_video: expected uint8 [T, H, W, 3] with T > 0, the first picture is {shape}")
    height, width = first.shape[:2]
    with av.open(str(path), "w") as container:
        rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = _SMPTE170M
        stream.codec_context.color_range = _LIMITED_RANGE
        for picture in itertools.chain([first], following):
            even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
