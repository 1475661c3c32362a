"""The colour-wheel picture of motion vectors that the published detector was trained to read, with all its oddities.

Hue is the direction, brightness the length relative to the longest vector of the same picture; the picture is saved as a
JPEG and read again. Each block is painted half a block too far right and down (FFmpeg gives its centre, which is taken for
its corner), later blocks over earlier ones, so of two lists the second wins and past is not told from future.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from b2scvr.types import MB_SIZE, MV_BLOCK, ParsedClip, Partition

UNITS_PER_PX = 400.0  # of the whole numbers that vectors become; quarter pels stay exact
SATURATION = 255
# (column, row, width, height) of the blocks of a macroblock, in pixels, in the order in which FFmpeg exports them.
BLOCKS: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    Partition.WHOLE: ((0, 0, 16, 16),),
    Partition.ROWS: ((0, 0, 16, 8), (0, 8, 16, 8)),
    Partition.COLUMNS: ((0, 0, 8, 16), (8, 0, 8, 16)),
    Partition.QUARTERS: ((0, 0, 8, 8), (8, 0, 8, 8), (0, 8, 8, 8), (8, 8, 8, 8)),
}


def vector_picture(clip: ParsedClip, index: int) -> np.ndarray:
    """Return the picture of the vectors of display index `index`, uint8 [H, W, 3] RGB; black where nothing moves."""
    height, width = clip.frames.shape[1:3]
    flow = np.zeros((height, width, 2), np.float32)
    for x, y, block_width, block_height, vector in _blocks(clip, index):
        corner_x, corner_y = x + block_width // 2, y + block_height // 2
        flow[corner_y : corner_y + block_height, corner_x : corner_x + block_width] = np.trunc(vector * UNITS_PER_PX)
    return _through_jpeg(_colour_wheel(flow))


def _blocks(clip: ParsedClip, index: int) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """Yield left, top, width, height and vector (pixels) of each block, macroblocks in raster order, list 0 first."""
    fields = ((clip.mv_past[index], clip.mv_past_valid[index]), (clip.mv_future[index], clip.mv_future_valid[index]))
    for row, column in np.ndindex(clip.partition.shape[1:]):
        for vectors, valid in fields:
            for right, down, width, height in BLOCKS[clip.partition[index, row, column]]:
                x, y = column * MB_SIZE + right, row * MB_SIZE + down
                cell = (y // MV_BLOCK, x // MV_BLOCK)
                if cell[0] < valid.shape[0] and cell[1] < valid.shape[1] and valid[cell]:
                    yield x, y, width, height, vectors[cell]


def _colour_wheel(flow: np.ndarray) -> np.ndarray:
    """float32 [H, W, 2] -> uint8 [H, W, 3] BGR."""
    length, angle = cv2.cartToPolar(np.ascontiguousarray(flow[..., 0]), np.ascontiguousarray(flow[..., 1]))
    value = cv2.normalize(length, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    hue = np.degrees(angle) / 2
    hsv = np.stack([hue, np.full_like(hue, SATURATION), value], axis=-1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def _through_jpeg(bgr: np.ndarray) -> np.ndarray:
    """Return the picture as it is read back, RGB."""
    _, coded = cv2.imencode(".jpg", bgr)
    read: np.ndarray = cv2.imdecode(coded, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
