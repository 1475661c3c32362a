"""A mask laid over its picture."""

from __future__ import annotations

import cv2
import numpy as np

COLOUR = (255, 0, 200)  # RGB, magenta: rare in footage
OPACITY = 0.35
EDGE_PX = 1


def overlay_mask(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a copy of `picture`, uint8 [H, W, 3] RGB, tinted where `mask`, [H, W], is nonzero, with the mask's outline.

    An empty mask gives the picture unchanged. Raises ValueError when the sizes differ.
    """
    if picture.shape[:2] != mask.shape:
        raise ValueError(f"picture {list(picture.shape)} and mask {list(mask.shape)} do not match")
    marked = mask > 0
    shown = picture.copy()
    if not marked.any():
        return shown
    tint = (1 - OPACITY) * shown[marked] + OPACITY * np.array(COLOUR)
    shown[marked] = np.rint(tint).astype(np.uint8)
    outlines, _ = cv2.findContours(marked.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, COLOUR, EDGE_PX)
    return shown
