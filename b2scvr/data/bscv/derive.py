"""All files of a clip as bytes, derived from its clean stream alone: a build writes them, a verification compares them."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from b2scvr.bitstream.cache import save_clip
from b2scvr.bitstream.damage import branch, damage_all, damage_manifest
from b2scvr.bitstream.reader import decode
from b2scvr.data.bscv import layout
from b2scvr.data.bscv.settings import BuildSettings, clip_seed
from b2scvr.ops.masks import close_gaps, visible_difference
from b2scvr.types import AccessUnitStatus, InputError, ParsedClip

File = tuple[str, bytes]  # path in the data set, content
_PNG_LEVEL = 1  # of 9: pictures twice as fast as OpenCV's default, a tenth larger
_MASK_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]  # two values
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the format's first: no file may depend on when it was made


@dataclass
class Truth:
    """The clean stream of a clip and what it decodes to."""

    stream: bytes
    clip: ParsedClip
    pictures: list[bytes]  # encoded, in display order


@dataclass
class Twin:
    """The damaged twin of a clip in one branch."""

    stream: bytes
    damage: dict[str, object]  # the manifest of what was cut (bitstream.damage)
    clip: ParsedClip
    damaged: np.ndarray  # bool [T], pictures that differ at all from the clean decode


def make_truth(stream: bytes, settings: BuildSettings) -> Truth:
    """Return the decoded clean stream. Raises InputError when it is not wholly intact."""
    clip = decode(stream).clip
    if (clip.status != AccessUnitStatus.INTACT).any():
        raise InputError("its clean stream does not decode cleanly")
    return Truth(stream, clip, [encode_picture(picture, settings) for picture in clip.frames])


def make_twin(truth: Truth, name: str, clip: str, settings: BuildSettings) -> Twin:
    """Return the damaged twin of `clip` in the branch `name`; one slot per access unit of the clean stream.

    Raises InputError when the damaged stream does not hold the same access units as the clean one.
    """
    model = replace(branch(name, clip_seed(settings.seed, clip)), gop=settings.gop)
    stream, applied = damage_all(truth.stream, [model])
    decoded = decode(stream).clip
    if not np.array_equal(decoded.decode_index, truth.clip.decode_index):
        raise InputError(f"branch {name}: the damaged stream does not hold the access units of the clean one")
    pairs = zip(decoded.frames, truth.clip.frames, strict=True)
    damaged = np.array([not np.array_equal(a, b) for a, b in pairs])
    return Twin(stream, damage_manifest(truth.stream, stream, applied), decoded, damaged)


def truth_files(clip: str, truth: Truth, settings: BuildSettings) -> Iterator[File]:
    """Yield the clean files of `clip`."""
    yield layout.truth_stream(clip), truth.stream
    folder = f"{layout.TRUTH_BRANCH}/{layout.TRUTH_PICTURES}/{clip}"
    yield from _series(folder, settings.pictures, truth.pictures, settings.zips)


def twin_files(name: str, clip: str, truth: Truth, twin: Twin, settings: BuildSettings) -> Iterator[File]:
    """Yield the files of `clip` in the branch `name`."""
    yield layout.damaged_stream(name, clip), twin.stream
    pictures = (
        encode_picture(frame, settings) if damaged else clean
        for frame, damaged, clean in zip(twin.clip.frames, twin.damaged, truth.pictures, strict=True)
    )
    yield from _series(f"{name}/{layout.PICTURES}/{clip}", settings.pictures, pictures, settings.zips)
    differences, masks = _masks(truth, twin)
    yield from _series(f"{name}/{layout.DIFFERENCES}/{clip}", "png", differences, settings.zips)
    yield from _series(f"{name}/{layout.MASKS}/{clip}", "png", masks, zipped=False)
    if settings.parses:
        yield f"{name}/{layout.PARSES}/{clip}.npz", _parse_bytes(twin.clip)


def twin_record(twin: Twin) -> dict[str, object]:
    """Return what is to be known of a twin beside its files, ready for JSON."""
    counts = {status.name.lower(): int((twin.clip.status == status).sum()) for status in AccessUnitStatus}
    return {"damage": twin.damage, "status": counts, "damaged_pictures": int(twin.damaged.sum())}


def encode_picture(picture: np.ndarray, settings: BuildSettings) -> bytes:
    """Return a picture, uint8 [H, W, 3] RGB, as the file that the settings ask for."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if settings.pictures == "png":
        return _encoded(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    return _encoded(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])


def _masks(truth: Truth, twin: Twin) -> tuple[list[bytes], list[bytes]]:
    """Return the differences and the masks of all pictures as PNG."""
    nothing = _encoded_mask(np.zeros(truth.clip.frames.shape[1:3], np.uint8))
    differences, masks = [], []
    for frame, clean, damaged in zip(twin.clip.frames, truth.clip.frames, twin.damaged, strict=True):
        difference = visible_difference(frame, clean) if damaged else None
        if difference is None or not difference.any():
            differences.append(nothing)
            masks.append(nothing)
        else:
            differences.append(_encoded_mask(difference))
            masks.append(_encoded_mask(close_gaps(difference)))
    return differences, masks


def _encoded_mask(mask: np.ndarray) -> bytes:
    return _encoded(".png", mask * np.uint8(255), _MASK_OPTIONS)


def _encoded(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, image, options)
    if not done:
        raise InputError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as {suffix}")
    return content.tobytes()


def _series(folder: str, suffix: str, pictures: Iterable[bytes], zipped: bool) -> Iterator[File]:
    """Yield numbered files of a folder, or the one zip that holds them."""
    numbered = ((f"{layout.PICTURE_NAME.format(i)}.{suffix}", content) for i, content in enumerate(pictures))
    if not zipped:
        yield from ((f"{folder}/{name}", content) for name, content in numbered)
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in numbered:
            archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), content)
    yield f"{folder}.zip", buffer.getvalue()


def _parse_bytes(clip: ParsedClip) -> bytes:
    with tempfile.TemporaryDirectory(prefix="b2scvr-") as folder:
        path = Path(folder) / "clip.npz"
        save_clip(path, clip, pictures=False)
        return path.read_bytes()
