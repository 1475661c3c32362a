"""What one clip is turned into before it is coded: segment, speed, direction, zoom, size, encoder settings, damage.

One clip gives endless pairs. A `Variant` is all that was drawn for one of them; the same generator state gives the
same variant, and the same clip and variant give the same pictures.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from b2scvr.bitstream.video import load_frames

SEGMENT = (34, 66)  # pictures, both ends included: two to four IDR periods of 16
LONG_SIDES = tuple(range(320, 641, 32))  # pixels; judged clips are 640 at most
MIN_SHORT_SIDE = 192  # pixels, so that training crops fit
SIZE_STEP = 8  # short sides that are no multiple of 16 keep partial macroblocks in the training set
MAX_ENLARGEMENT = 1.15  # beyond it pictures are only blurred


@dataclass(frozen=True)
class Variant:
    """One drawn treatment of a clip. Pictures are counted in the source; sizes are (width, height) in pixels."""

    start: int  # first source picture
    length: int  # pictures that are coded
    stride: int  # source pictures per coded picture
    reverse: bool  # played backwards
    flip: bool  # mirrored left to right
    crop: tuple[int, int, int, int]  # x, y, width, height in the source
    size: tuple[int, int]  # coded size
    crf: int
    options: dict[str, str]  # x264 settings; empty = its defaults
    position: float  # L, where the cut begins in the slice payload, 0..1
    cut_bytes: int  # S
    slices_per_gop: int  # 16 P
    damage_seed: int


def clip_generator(seed: int, clip: str, round_index: int = 0) -> np.random.Generator:
    """Return the generator of all that is drawn for one treatment of the clip named `clip`."""
    return np.random.default_rng([seed, zlib.crc32(clip.encode()), round_index])


def draw_variant(rng: np.random.Generator, pictures: int, height: int, width: int) -> Variant:
    """Draw a treatment of a clip of `pictures` pictures of `width` x `height` pixels."""
    stride = int(rng.choice([1, 1, 2])) if pictures >= 2 * SEGMENT[0] else 1
    length = min(int(rng.integers(SEGMENT[0], SEGMENT[1] + 1)), -(-pictures // stride))
    start = int(rng.integers(0, pictures - (length - 1) * stride))
    crop, size = _draw_geometry(rng, width, height)
    return Variant(
        start=start,
        length=length,
        stride=stride,
        reverse=bool(rng.random() < 0.5),
        flip=bool(rng.random() < 0.5),
        crop=crop,
        size=size,
        crf=int(np.clip(round(rng.normal(23, 3)), 18, 30)),
        options=_draw_encoder(rng),
        position=round(float(rng.choice([0.4, rng.uniform(0.2, 0.8)])), 3),
        cut_bytes=int(rng.choice([1024, 2048, 2048, 4096])),
        slices_per_gop=int(rng.choice([1, 1, 1, 2])),
        damage_seed=int(rng.integers(2**31)),
    )


def load_variant(path: Path, variant: Variant) -> np.ndarray:
    """Return the pictures that `variant` makes of the clip at `path`, uint8 [T, H, W, 3] RGB, T = variant.length."""
    stop = variant.start + (variant.length - 1) * variant.stride + 1
    frames = load_frames(path, start=variant.start, stop=stop)[:: variant.stride]
    x, y, width, height = variant.crop
    frames = frames[:: -1 if variant.reverse else 1, y : y + height, x : x + width]
    if variant.flip:
        frames = frames[:, :, ::-1]
    shrinks = variant.size[0] < width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    if variant.size == (width, height):
        return np.ascontiguousarray(frames)
    return np.stack([cv2.resize(np.ascontiguousarray(f), variant.size, interpolation=method) for f in frames])


def _draw_geometry(
    rng: np.random.Generator, width: int, height: int
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """Draw a crop (x, y, width, height) of the source and the size it is scaled to; the aspect ratio is kept."""
    if rng.random() < 0.3 and min(width, height) >= MIN_SHORT_SIDE:
        return (0, 0, width, height), (width // 2 * 2, height // 2 * 2)
    zoom = float(rng.uniform(0.6, 1.0))
    crop_width, crop_height = round(width * zoom), round(height * zoom)
    x = int(rng.integers(0, width - crop_width + 1))
    y = int(rng.integers(0, height - crop_height + 1))
    long_side, short_side = max(crop_width, crop_height), min(crop_width, crop_height)
    lowest = -(-MIN_SHORT_SIDE * long_side // short_side)
    highest = max(lowest, int(long_side * MAX_ENLARGEMENT))
    allowed = [side for side in LONG_SIDES if lowest <= side <= highest] or [-(-lowest // 16) * 16]
    target = int(rng.choice(allowed))
    other = max(MIN_SHORT_SIDE, round(target * short_side / long_side / SIZE_STEP) * SIZE_STEP)
    size = (target, other) if crop_width >= crop_height else (other, target)
    return (x, y, crop_width, crop_height), size


def _draw_encoder(rng: np.random.Generator) -> dict[str, str]:
    """Draw x264 settings: half of the time its defaults, which are BSCV's."""
    if rng.random() < 0.5:
        return {}
    return {
        "preset": str(rng.choice(["veryfast", "fast", "medium"])),
        "bf": str(rng.choice([0, 1, 3])),
        "coder": str(rng.choice(["cabac", "cavlc"])),
        "refs": str(rng.choice([1, 2, 3])),
        "weightp": str(rng.choice([0, 1, 2])),
        "8x8dct": str(rng.choice([0, 1])),
    }
