"""Surroundings at another size: work small, write native."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from b2scvr.types import MB_SIZE, PictureDamage, Surroundings


def resize_surroundings(around: Surroundings, size: tuple[int, int]) -> Surroundings:
    """Return `around` with pictures of `size` (width, height); motion keeps its unit, pixels of the new size."""
    height, width = around.decoded.shape[:2]
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    grid = -(-size[0] // MB_SIZE), -(-size[1] // MB_SIZE)
    nearest = cv2.INTER_NEAREST
    return dataclasses.replace(
        around,
        window=np.stack([_resize(picture, size) for picture in around.window]),
        motion=np.stack([_resize(motion, size) * scale for motion in around.motion]),
        candidates=np.stack([_resize(picture, size) for picture in around.candidates]),
        candidate_valid=np.stack([_resize(valid, size) for valid in around.candidate_valid]),
        evidence=np.stack([_resize(channel, grid, nearest) for channel in around.evidence]),
        damage_trace=_resize(around.damage_trace, grid, nearest),
        concealed=_resize(around.concealed.astype(np.uint8), grid, nearest) > 0,
        slice_start=_resize(around.slice_start.astype(np.uint8), grid, nearest) > 0,
        distrusted=None
        if around.distrusted is None
        else _resize(around.distrusted.astype(np.uint8), grid, nearest) > 0,
    )


def resize_damage(damage: PictureDamage, size: tuple[int, int]) -> PictureDamage:
    """Return `damage` for a picture of `size` (width, height)."""
    grid = -(-size[0] // MB_SIZE), -(-size[1] // MB_SIZE)
    blocks = _resize(damage.macroblocks, grid, cv2.INTER_LINEAR)
    return PictureDamage(blocks, _resize(damage.mask, size), damage.confidence)


def resize_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return `picture` [H, W, ...] at `size` (width, height)."""
    return _resize(picture, size)


def _resize(array: np.ndarray, size: tuple[int, int], interpolation: int | None = None) -> np.ndarray:
    if interpolation is None:
        smaller = size[0] * size[1] < array.shape[0] * array.shape[1]
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC if array.dtype == np.uint8 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(array), size, interpolation=interpolation)
