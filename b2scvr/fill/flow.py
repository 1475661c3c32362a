"""Dense optical flow and warping on pictures (OpenCV)."""

from __future__ import annotations

import cv2
import numpy as np

SMALLEST_SIDE = 32  # pixels; the search needs room for its pyramid


def optical_flow(source: np.ndarray, target: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """Return float32 [H, W, 2], (x, y) pixels, from each pixel of `source` to its match in `target` (uint8 [H, W, 3] RGB).

    Dense inverse search (Kroeger et al., ECCV 2016), OpenCV's medium preset, started at `initial` where given. Pictures too
    small for its patches give the initial flow, or zero.
    """
    start = np.zeros((*source.shape[:2], 2), np.float32) if initial is None else np.array(initial, np.float32)
    if min(source.shape[:2]) < SMALLEST_SIDE:
        return start
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (source, target)]
    return search.calc(grey[0], grey[1], start)


def warp(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Return `picture` [H, W, ...] read where `motion` [H, W, 2] points: out(p) = picture(p + motion(p)); border repeated."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    maps = x + motion[..., 0], y + motion[..., 1]
    mode = cv2.INTER_CUBIC if picture.dtype == np.uint8 else cv2.INTER_LINEAR
    return cv2.remap(picture, *maps, mode, borderMode=cv2.BORDER_REPLICATE)


def read_at(field: np.ndarray, place: np.ndarray, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
    """Return `field` [H, W, ...] read at `place` float32 [h, w, 2] (x, y) pixels, bilinear, float32 [h, w, ...]."""
    field = np.ascontiguousarray(field, np.float32)
    return cv2.remap(field, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=border)


def extrapolate(flow: np.ndarray, scale: float, rounds: int = 3) -> np.ndarray:
    """Return the motion into the picture that `flow` starts from, for a picture `scale` times as far on its other side.

    flow: [H, W, 2], from picture A to an earlier picture B. A pixel of the new picture C that shows what A shows at
    p + m moves by m = scale * flow(p + m): solved by fixed-point iteration (constant velocity).
    """
    motion = flow * np.float32(scale)
    for _ in range(rounds - 1):
        motion = warp(flow, motion) * np.float32(scale)
    return motion
