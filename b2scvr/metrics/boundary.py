"""How well the outlines of masks agree: the boundary measure F of Perazzi et al. (DAVIS, CVPR 2016, section 4)."""

from __future__ import annotations

import math

import cv2
import numpy as np

TOLERANCE = 0.008  # of the picture's diagonal, as DAVIS takes it


def boundary_f(mask: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Return the F measure of the outlines of two masks [H, W], nonzero = damaged, in [0, 1].

    A pixel of one outline is right when the other outline passes within `tolerance` of the diagonal. Two empty masks
    agree (1), an empty and another one do not (0). Raises ValueError when the shapes differ.
    """
    if mask.shape != truth.shape:
        raise ValueError(f"boundary_f: mask {list(mask.shape)} and truth {list(truth.shape)} do not match")
    found, real = _outline(mask), _outline(truth)
    if not found.any() and not real.any():
        return 1.0
    if not found.any() or not real.any():
        return 0.0
    radius = math.ceil(tolerance * math.hypot(*mask.shape))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    precision = float(cv2.dilate(real, disk)[found > 0].mean())
    recall = float(cv2.dilate(found, disk)[real > 0].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that have a neighbour outside it, uint8; the border of the picture is no outline."""
    solid = (mask > 0).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return solid - cv2.erode(solid, cross, borderType=cv2.BORDER_CONSTANT, borderValue=1)
