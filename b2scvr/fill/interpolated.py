"""What a decoder interpolated in an intra picture, kept where other pictures know less.

What is missing of an intra picture libavcodec interpolates from around it. That is smooth, and yet nearer to the truth than
pictures that are far away in time, as where a stream begins or a scene does.
"""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.ops.masks import at_pixels
from b2scvr.types import MB_SIZE, Surroundings

AROUND = 2 * MB_SIZE  # pixels around the damage in which both are judged; what is further inside cannot be interpolated
SMOOTHED = 2 * MB_SIZE + 1  # side of the square over which the picture is averaged there, to stand for interpolation
FAR_WORSE = 2.0  # over a hole interpolation does worse than smoothing beside it


def keep_interpolated(around: Surroundings, restored: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return `restored`, uint8 [H, W, 3]; with the decoder's samples in concealed macroblocks if the fill is far worse.

    around: what surrounds an intra picture; wrong: bool [H, W], where it is wrong. How far the fill misses the right part
    around the damage is compared with how far the picture itself, smoothed, misses it there. Large holes stay as they were
    restored.
    """
    side = 2 * AROUND + 1
    near = (cv2.dilate(wrong.astype(np.uint8), np.ones((side, side), np.uint8)) > 0) & ~wrong
    depth = cv2.distanceTransform(wrong.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()
    if not near.any() or depth > AROUND:
        return restored
    smoothed = cv2.blur(around.decoded, (SMOOTHED, SMOOTHED))
    missed, missed_smoothed = (
        float(((guess[near].astype(np.float32) - around.decoded[near]) ** 2).mean())
        for guess in (around.fill, smoothed)
    )
    if missed <= FAR_WORSE * missed_smoothed:
        return restored
    return np.where(at_pixels(around.concealed, *wrong.shape)[..., None], around.decoded, restored)
