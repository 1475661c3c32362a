"""Clean footage: videos, and folders of numbered pictures (YouTube-VOS: <id>/00000.jpg), each encoded to one H.264 stream."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from b2scvr.bitstream.encode import encode_h264, encode_video
from b2scvr.bitstream.video import VIDEO_SUFFIXES, video_shape
from b2scvr.types import InputError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_LINES = re.compile(r"(\d+)p")
_SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True)
class SourceClip:
    """One clean clip: a video file, or a folder of pictures in the order of their names."""

    id: str  # name in the data set
    path: Path

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def list_sources(folder: Path) -> list[SourceClip]:
    """Return the clips under `folder`, sorted by id: each video by its stem, each folder with pictures by its name.

    Raises InputError when the folder is missing or holds none, when two clips have the same name, or when a name has a
    character that a list of checksums can't hold.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of footage")
    found: dict[str, Path] = {}
    for path in _clips(folder):
        name = path.name if path.is_dir() else path.stem
        if not name.isprintable() or "\\" in name:
            raise InputError(f"{path!r}: a clip's name must be printable and without backslash: rename it")
        if found.setdefault(name, path) != path:
            raise InputError(f"{found[name]} and {path} would both be clip {name!r}: rename one of them")
    if not found:
        raise InputError(f"{folder}: holds neither videos nor folders of pictures (<id>/00000.jpg)")
    return [SourceClip(name, found[name]) for name in sorted(found)]


def _clips(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        suffixes = {name: Path(name).suffix.lower() for name in files if not name.startswith(".")}
        yield from (Path(place, name) for name in sorted(suffixes) if suffixes[name] in VIDEO_SUFFIXES)
        if PICTURE_SUFFIXES & set(suffixes.values()) and Path(place) != folder:
            yield Path(place)


def parse_size(text: str) -> str:
    """Return `text` when it is a size like "432x240" or "240p" (240 lines, the aspect ratio kept); else ValueError."""
    if not (_SIZE.fullmatch(text) or _LINES.fullmatch(text)) or any(
        int(side) < 16 for side in re.findall(r"\d+", text)
    ):
        raise ValueError(f"{text!r} is no size like 432x240 or 240p (16 at least)")
    return text


def coded_size(size: str | None, width: int, height: int) -> tuple[int, int] | None:
    """Return (width, height) that a clip of `width` x `height` is scaled to for `size`; None where it stays as it is."""
    if size is None:
        return None
    if lines := _LINES.fullmatch(size):
        wanted = int(lines[1]) // 2 * 2
        return round(width * wanted / height / 2) * 2, wanted
    exact = _SIZE.fullmatch(size)
    if exact is None:
        raise ValueError(f"{size!r} is no size like 432x240 or 240p")
    return int(exact[1]), int(exact[2])


def encode_source(clip: SourceClip, size: str | None, crf: float, gop: int, fps: float) -> bytes:
    """Return the clip as an H.264 stream (`bitstream.encode`), scaled to `size`; `fps` is for folders, videos have theirs.

    An odd size loses its last line. Raises InputError, a sentence that names the clip, when it cannot be read.
    """
    try:
        if not clip.is_folder:
            _, height, width = video_shape(clip.path)
            return encode_video(clip.path, coded_size(size, width, height), crf, gop)
        return encode_h264(_pictures(clip.path, size), fps, crf, gop, crop_odd=True)
    except (OSError, ValueError, cv2.error, MemoryError) as error:
        raise InputError(f"{clip.path}: cannot be encoded ({error})") from error


def source_sha256(clip: SourceClip) -> str:
    """Return the SHA-256 of the video file, or of the names and SHA-256 of a folder's pictures. Raises InputError."""
    try:
        if not clip.is_folder:
            return file_sha256(clip.path)
        whole = hashlib.sha256()
        for path in picture_paths(clip.path):
            whole.update(f"{file_sha256(path)}  {path.name}\n".encode())
        return whole.hexdigest()
    except OSError as error:
        raise InputError(f"{clip.path}: cannot be read ({error})") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_paths(folder: Path) -> list[Path]:
    """Return the pictures directly in `folder` in the order of their names."""
    names = (name for name in os.listdir(folder) if not name.startswith("."))
    return [folder / name for name in sorted(names) if Path(name).suffix.lower() in PICTURE_SUFFIXES]


def _pictures(folder: Path, size: str | None) -> Iterator[np.ndarray]:
    for path in picture_paths(folder):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if picture is None:
            raise InputError(f"{path}: not a picture that can be read")
        height, width = picture.shape[:2]
        wanted = coded_size(size, width, height)
        if wanted and wanted != (width, height):
            shrinks = wanted[0] < width
            picture = cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        yield picture
