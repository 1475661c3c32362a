"""All metrics of one recovered clip against the clean one, as they stand in metrics.json."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from b2scvr.metrics.masks import damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.perceptual import LpipsUnavailableError, lpips
from b2scvr.metrics.psnr import psnr
from b2scvr.metrics.ssim import ssim

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


def compare(
    decoded: np.ndarray, recovered: np.ndarray | None, masks: np.ndarray, clean: np.ndarray, device: str = "cpu"
) -> dict[str, object]:
    """Return the metrics of a recovery by name, ready for JSON.

    decoded, recovered and clean are uint8 [T, H, W, 3], masks uint8 [T, H, W]; without `recovered` (detection only) no
    picture is judged. `psnr` (dB), `ssim` and `lpips` are {"decoded", "recovered"} over all frames, and the same under
    "damaged" over the frames whose decode differs from the clean one (None when no frame does). `per_frame` holds the
    PSNR of each frame. `iou`, `precision` and `recall` pool the pixels of the clip. `notes` says what is missing and why.
    """
    damaged = damaged_pictures(decoded, clean)
    scores = mask_scores(masks, mask_truth(decoded, clean))
    found: dict[str, object] = {"iou": scores.iou, "precision": scores.precision, "recall": scores.recall}
    found["damaged_frames"] = int(damaged.sum())
    if recovered is None:
        return found
    notes: list[str] = []
    metrics: dict[str, Metric] = {"psnr": psnr, "ssim": ssim, "lpips": lambda a, b: lpips(a, b, device)}
    for name, metric in metrics.items():
        try:
            values = {"decoded": metric(decoded, clean), "recovered": metric(recovered, clean)}
        except LpipsUnavailableError as error:
            found[name] = None
            notes.append(f"no LPIPS: {error}")
            continue
        found[name] = _means(values, np.ones_like(damaged)) | {"damaged": _means(values, damaged)}
        if name == "psnr":
            found["per_frame"] = {f"psnr_{side}": np.round(array, 3).tolist() for side, array in values.items()}
    found["notes"] = notes
    return found


def _means(values: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, float | None]:
    return {side: float(array[chosen].mean()) if chosen.any() else None for side, array in values.items()}
