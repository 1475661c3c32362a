"""What one clip is turned into: segment, speed, direction, camera, size, encoder settings, damage.

One clip gives endless pairs. A `Variant` is all that was drawn for one of them; the same generator state gives the
same variant, and the same clip and variant give the same pictures.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from b2scvr.bitstream.video import load_frames
from b2scvr.data.camera import CameraPath, draw_path, film
from b2scvr.data.damage_mix import DAMAGE_WEIGHTS, draw_damage

SEGMENT = (34, 66)  # pictures, both ends included: two to four IDR periods of 16
LONG_SIDES = tuple(range(320, 641, 32))  # pixels; judged clips are 640 at most
MIN_SHORT_SIDE = 192  # pixels, so that training crops fit
SIZE_STEP = 8  # short sides that are no multiple of 16 keep partial macroblocks in the training set
MAX_ENLARGEMENT = 1.15  # beyond it pictures are only blurred
MAX_SPEED = 3.0  # source pictures per coded one; below 1 pictures would repeat, and what repeats is no loss
MOVING_SHARE = 0.4  # of the clips are filmed by a camera that moves
GOP = 16  # BSCV's
GOPS = (8, 12, 24, 32)  # others


@dataclass(frozen=True)
class Variant:
    """One drawn treatment of a clip. Pictures are counted in the source; sizes are (width, height) in pixels."""

    start: int  # first source picture
    length: int  # pictures that are coded
    speed: tuple[float, float]  # source pictures per coded picture, in the beginning and in the end; even in between
    reverse: bool  # played backwards
    flip: bool  # mirrored left to right
    crop: tuple[int, int, int, int]  # x, y, width, height in the source, where the camera stands still
    camera: CameraPath | None  # where it moves
    size: tuple[int, int]  # coded size
    crf: int
    gop: int
    options: dict[str, str]  # x264 settings; empty = its defaults
    damage: str  # specification for bitstream.damage.parse_models
    damage_seed: int

    def positions(self) -> np.ndarray:
        """Return which source pictures are taken, int64 [length], ascending from `start`."""
        steps = np.linspace(*self.speed, max(self.length - 1, 0))
        return self.start + np.floor(np.append(0.0, np.cumsum(steps)) + 0.5).astype(np.int64)


def clip_generator(seed: int, clip: str, round_index: int = 0) -> np.random.Generator:
    """Return the generator of all that is drawn for one treatment of the clip named `clip`."""
    return np.random.default_rng([seed, zlib.crc32(clip.encode()), round_index])


def draw_variant(
    rng: np.random.Generator,
    pictures: int,
    height: int,
    width: int,
    damage: Mapping[str, float] = DAMAGE_WEIGHTS,
    moving: float = MOVING_SHARE,
) -> Variant:
    """Draw a treatment of a clip of `pictures` pictures of `width` x `height` pixels.

    damage: weights of what it is damaged by (data.damage_mix). moving: chance of a camera that pans and zooms.
    """
    speed = _draw_speed(rng) if pictures >= 2 * SEGMENT[0] else (1.0, 1.0)
    span = sum(speed) / 2
    length = min(int(rng.integers(SEGMENT[0], SEGMENT[1] + 1)), int((pictures - 1) / span) + 1)
    start = int(rng.integers(0, pictures - int((length - 1) * span + 0.5)))
    crop, size = _draw_geometry(rng, width, height)
    camera = draw_path(rng, (width, height), size, MAX_ENLARGEMENT) if rng.random() < moving else None
    return Variant(
        start=start,
        length=length,
        speed=speed,
        reverse=bool(rng.random() < 0.5),
        flip=bool(rng.random() < 0.5),
        crop=crop,
        camera=camera,
        size=size,
        crf=int(np.clip(round(rng.normal(23, 3)), 18, 32)),
        gop=GOP if rng.random() < 0.6 else int(rng.choice(GOPS)),
        options=_draw_encoder(rng),
        damage=draw_damage(rng, damage),
        damage_seed=int(rng.integers(2**31)),
    )


def load_variant(path: Path, variant: Variant) -> np.ndarray:
    """Return the pictures that `variant` makes of the clip at `path`, uint8 [T, H, W, 3] RGB, T = variant.length."""
    positions = variant.positions()
    frames = load_frames(path, start=variant.start, stop=int(positions[-1]) + 1)[positions - variant.start]
    frames = frames[:: -1 if variant.reverse else 1]
    shown = _seen_by(variant, frames)
    return np.ascontiguousarray(shown[:, :, ::-1] if variant.flip else shown)


def _seen_by(variant: Variant, frames: np.ndarray) -> np.ndarray:
    """Return what the variant's camera shows of pictures uint8 [T, H, W, 3], at the coded size."""
    if variant.camera is not None:
        return film(frames, variant.camera.windows(len(frames)), variant.size)
    x, y, width, height = variant.crop
    frames = frames[:, y : y + height, x : x + width]
    if variant.size == (width, height):
        return frames
    method = cv2.INTER_AREA if variant.size[0] < width else cv2.INTER_CUBIC
    return np.stack([cv2.resize(np.ascontiguousarray(f), variant.size, interpolation=method) for f in frames])


def _draw_speed(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the source pictures per coded one at both ends: half of the time one by one, else faster or changing."""
    kind = rng.random()
    if kind < 0.5:
        return 1.0, 1.0
    if kind < 0.7:
        return 2.0, 2.0
    first, last = rng.uniform(1, MAX_SPEED, 2)
    return round(float(first), 2), round(float(last), 2)


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
        "refs": str(rng.choice([1, 2, 3, 4])),
        "slices": str(rng.choice([1, 1, 2, 4])),
        "weightp": str(rng.choice([0, 1, 2])),
        "me_range": str(rng.choice([8, 16, 24])),
        "8x8dct": str(rng.choice([0, 1])),
    }
