"""Structural similarity (Wang et al., Image Quality Assessment, IEEE TIP 13(4), 2004)."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.metrics.psnr import PEAK, require_same

WINDOW = 11  # samples on a side, section III-C
SIGMA = 1.5
C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2


def ssim(pictures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the SSIM of each picture, float64 [T] in [-1, 1], of two clips uint8 [T, H, W, 3].

    Equation 13 with the Gaussian window of the paper, on each RGB channel at full size, over the windows that lie wholly
    inside the picture; the mean of the three channels. Raises ValueError when the clips do not match or the pictures
    are smaller than the window.
    """
    require_same(pictures, truth)
    if min(pictures.shape[1:3]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW}x{WINDOW}, got {list(pictures.shape[1:3])}")
    return np.array([_picture_ssim(picture, true) for picture, true in zip(pictures, truth, strict=True)])


def _picture_ssim(picture: np.ndarray, true: np.ndarray) -> float:
    if np.array_equal(picture, true):
        return 1.0
    x, y = picture.astype(np.float64), true.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x * mean_x
    variance_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    edge = WINDOW // 2
    return float((luminance * structure)[edge:-edge, edge:-edge].mean())


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA)
