"""Undamaged video files -> RGB pictures (footage for training and evaluation; damaged streams go through `reader`)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from b2scvr.types import InputError

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".h264", ".264", ".avc", ".y4m"})


def list_videos(folder: Path) -> list[Path]:
    """Return the video files under `folder`, sorted; InputError when the folder is missing or holds none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of footage")
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def load_frames(path: Path, size: tuple[int, int] | None = None, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return pictures `start`..`stop` - 1 of the first video stream in display order, uint8 [T, H, W, 3] RGB.

    size: (width, height) to scale to; None keeps the native one. Decoded by one thread, so that the same file gives
    the same pictures everywhere. InputError when the file is missing or gives no picture in that range.
    """
    pictures: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise InputError(f"{path}: holds no video stream that can be decoded")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
            for index, frame in enumerate(container.decode(stream)):
                if stop is not None and index >= stop:
                    break
                if index >= start:
                    scaled = frame if size is None else frame.reformat(width=size[0], height=size[1])
                    pictures.append(scaled.to_ndarray(format="rgb24"))
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: not a video that can be read ({error})") from error
    if not pictures:
        raise InputError(f"{path}: no pictures from {start} on")
    return np.stack(pictures)


def video_shape(path: Path) -> tuple[int, int, int]:
    """Return (T, H, W) of the first video stream: coded pictures, and their size in pixels; nothing is decoded."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise InputError(f"{path}: holds no video stream that can be decoded")
            stream = container.streams.video[0]
            height, width = stream.codec_context.height, stream.codec_context.width
            return sum(1 for packet in container.demux(stream) if packet.size), height, width
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{path}: not a video that can be read ({error})") from error


def codec_versions() -> dict[str, str]:
    """Return the versions of PyAV and of the FFmpeg libraries that it brought along."""
    return {"av": av.__version__} | {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
