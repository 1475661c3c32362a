"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

PEAK = 255.0
MAX_PSNR_DB = 100.0


def psnr(pictures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the PSNR of each picture in dB, float64 [T], of two clips uint8 [T, H, W, 3].

    The mean squared error runs over all samples of the three RGB channels. Identical pictures, whose ratio is infinite,
    count as MAX_PSNR_DB, so that a mean over a clip exists; with 8 bits no other picture comes near it (one sample of
    a 4K picture off by one gives 122 dB and is cut to the same 100). A clip's PSNR is the mean of its pictures' in dB.
    Raises ValueError when the clips do not match.
    """
    require_same(pictures, truth)
    values = np.empty(len(pictures))
    for i, (picture, true) in enumerate(zip(pictures, truth, strict=True)):
        error = np.mean(np.square(picture.astype(np.float64) - true))
        values[i] = MAX_PSNR_DB if error == 0 else min(MAX_PSNR_DB, 10 * np.log10(PEAK**2 / error))
    return values


def require_same(pictures: np.ndarray, truth: np.ndarray) -> None:
    """Raise ValueError unless both are uint8 [T, H, W, 3] of the same shape."""
    if pictures.shape != truth.shape:
        raise ValueError(f"pictures {list(pictures.shape)} and truth {list(truth.shape)} do not match")
    if pictures.dtype != np.uint8 or truth.dtype != np.uint8 or pictures.ndim != 4:
        raise ValueError(f"expected uint8 [T, H, W, 3], got {pictures.dtype} {list(pictures.shape)} and {truth.dtype}")
