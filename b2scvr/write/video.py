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


class VideoWriter:
    """Writes pictures uint8 [H, W, 3] RGB, one by one, as H.264 (x264, 4:2:0, BT.601, limited range).

    A context manager: what was added is a whole file when the block ends. The suffix names the container. 4:2:0 holds even
    sizes only: an odd last row or column is repeated once.
    """

    def __init__(self, path: Path, fps: float, crf: int = CRF) -> None:
        self._container = av.open(str(path), "w")
        rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
        options = {"crf": str(crf), "preset": "veryfast"}
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        self._is_begun = False

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_begun and kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def add(self, picture: np.ndarray) -> None:
        """Add the next picture. Raises ValueError for anything else than one."""
        if picture.ndim != 3:
            raise ValueError(f"VideoWriter: expected a picture uint8 [H, W, 3], got {list(picture.shape)}")
        height, width = picture.shape[:2]
        if not self._is_begun:
            self._begin(height + height % 2, width + width % 2)
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601)
        self._container.mux(self._stream.encode(frame))

    def _begin(self, height: int, width: int) -> None:
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.colorspace = _SMPTE170M
        self._stream.codec_context.color_range = _LIMITED_RANGE
        self._is_begun = True


def write_video(path: Path, pictures: np.ndarray | Iterable[np.ndarray], fps: float, crf: int = CRF) -> None:
    """Write pictures uint8 [T, H, W, 3] RGB, or an iterable of them, as `VideoWriter` does. ValueError for no picture."""
    following = iter(pictures)
    first = next(following, None)
    if first is None:
        raise ValueError("write_video: no picture to write")
    with VideoWriter(path, fps, crf) as video:
        for picture in itertools.chain([first], following):
            video.add(picture)
