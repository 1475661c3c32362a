"""Structural similarity (Wang et al., Image Quality Assessment, IEEE TIP 13(4), 2004), with two windows.

Results with different windows are different measures: say which one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.metrics.psnr import PEAK, require_same

C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2


@dataclass(frozen=True)
class Window:
    """Where the statistics of SSIM are taken: a square of `side` samples."""

    side: int
    sigma: float | None = None  # of a Gaussian; None: every sample counts the same
    unbiased: bool = False  # (co)variances divide by one sample less than there are

    def fits(self, height: int, width: int) -> bool:
        """Whether pictures of that size hold the window."""
        return min(height, width) >= self.side


GAUSSIAN_11 = Window(11, sigma=1.5)  # the paper's own, section III-C
UNIFORM_65 = Window(65, unbiased=True)  # of the papers on BSCV: scikit-image's structural_similarity(win_size=65)


def ssim(pictures: np.ndarray, truth: np.ndarray, window: Window = GAUSSIAN_11) -> np.ndarray:
    """Return the SSIM of each picture, float64 [T] in [-1, 1], of two clips uint8 [T, H, W, 3].

    Equation 13 on each RGB channel at full size, over the windows that lie wholly inside the picture; the mean of the
    three channels. Raises ValueError when the clips do not match or the pictures are smaller than the window.
    """
    require_same(pictures, truth)
    if not window.fits(*pictures.shape[1:3]):
        raise ValueError(
            f"SSIM needs pictures of at least {window.side}x{window.side}, got {list(pictures.shape[1:3])}"
        )
    return np.array([_picture_ssim(a, b, window) for a, b in zip(pictures, truth, strict=True)])


def _picture_ssim(picture: np.ndarray, true: np.ndarray, window: Window) -> float:
    height, width = picture.shape[:2]
    edge = window.side // 2
    inside = (height - 2 * edge) * (width - 2 * edge)
    seen = _reach(picture, true, edge)
    if seen is None:
        return 1.0
    values = _ssim_map(picture[seen], true[seen], window)
    return 1 + float((values - 1).sum()) / (inside * picture.shape[2])


def _reach(picture: np.ndarray, true: np.ndarray, edge: int) -> tuple[slice, slice] | None:
    """Return the rows and columns that windows around differing pixels see, None where there are none.

    All other windows have an SSIM of 1.
    """
    differs = (picture != true).any(axis=2)
    if not differs.any():
        return None
    reach = []
    for axis, length in enumerate(differs.shape):
        where = np.flatnonzero(differs.any(axis=1 - axis))
        first = min(max(where[0] - 2 * edge, 0), length - 2 * edge - 1)
        reach.append(slice(first, max(min(where[-1] + 2 * edge, length - 1), first + 2 * edge) + 1))
    return reach[0], reach[1]


def _ssim_map(picture: np.ndarray, true: np.ndarray, window: Window) -> np.ndarray:
    """Return the SSIM of every window that lies wholly inside, float64 [H - side + 1, W - side + 1, 3]."""
    x, y = picture.astype(np.float64), true.astype(np.float64)
    mean_x, mean_y = _mean(x, window), _mean(y, window)
    samples = window.side**2
    scale = samples / (samples - 1) if window.unbiased else 1.0
    variances = scale * (_mean(x * x + y * y, window) - mean_x * mean_x - mean_y * mean_y)
    covariance = scale * (_mean(x * y, window) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return luminance * structure


def _mean(image: np.ndarray, window: Window) -> np.ndarray:
    side, edge = (window.side, window.side), window.side // 2
    blurred = cv2.blur(image, side) if window.sigma is None else cv2.GaussianBlur(image, side, window.sigma)
    return blurred[edge : image.shape[0] - edge, edge : image.shape[1] - edge]
