"""All metrics of one recovered clip against the clean one, as they stand in metrics.json."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from b2scvr.metrics.masks import MaskScores, damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.perceptual import LpipsUnavailableError, lpips
from b2scvr.metrics.psnr import psnr
from b2scvr.metrics.ssim import ssim

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Comparison:
    """A recovery against its truth, taken up as its pictures come."""

    def __init__(self, device: str = "cpu") -> None:
        self._metrics: dict[str, Metric] = {"psnr": psnr, "ssim": ssim, "lpips": lambda a, b: lpips(a, b, device)}
        self._damaged = np.zeros(0, bool)
        self._scores = MaskScores(0, 0, 0)
        self._values: dict[str, dict[str, np.ndarray]] = {}  # by metric and side, float64 [T]
        self._notes: list[str] = []

    def add(self, decoded: np.ndarray, recovered: np.ndarray | None, masks: np.ndarray, clean: np.ndarray) -> None:
        """Take up the next pictures.

        decoded, recovered and clean are uint8 [N, H, W, 3], masks uint8 [N, H, W]; without `recovered` (detection only) no
        picture is judged.
        """
        self._damaged = np.append(self._damaged, damaged_pictures(decoded, clean))
        self._scores += mask_scores(masks, mask_truth(decoded, clean))
        if recovered is None:
            return
        for name, metric in list(self._metrics.items()):
            known = self._values.setdefault(name, {"decoded": np.zeros(0), "recovered": np.zeros(0)})
            try:
                for side, pictures in (("decoded", decoded), ("recovered", recovered)):
                    known[side] = np.append(known[side], metric(pictures, clean))
            except LpipsUnavailableError as error:
                del self._metrics[name], self._values[name]
                self._notes.append(f"no LPIPS: {error}")

    def summary(self) -> dict[str, object]:
        """Return the metrics by name, ready for JSON.

        `psnr` (dB), `ssim` and `lpips` are {"decoded", "recovered"} over all frames, and the same under "damaged" over the
        frames whose decode differs from the clean one (None when no frame does); None stands for one that is not to be had.
        `per_frame` holds the PSNR of each frame. `iou`, `precision` and `recall` pool the pixels of the clip. `notes` says
        what is missing and why.
        """
        scores = self._scores
        found: dict[str, object] = {"iou": scores.iou, "precision": scores.precision, "recall": scores.recall}
        found["damaged_frames"] = int(self._damaged.sum())
        if not self._values:
            return found
        for name in ("psnr", "ssim", "lpips"):
            found[name] = self._means(self._values[name]) if name in self._values else None
        found["per_frame"] = {
            f"psnr_{side}": np.round(array, 3).tolist() for side, array in self._values["psnr"].items()
        }
        found["notes"] = self._notes
        return found

    def _means(self, values: dict[str, np.ndarray]) -> dict[str, object]:
        everywhere = np.ones_like(self._damaged)
        return _means(values, everywhere) | {"damaged": _means(values, self._damaged)}


def _means(values: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, float | None]:
    return {side: float(array[chosen].mean()) if chosen.any() else None for side, array in values.items()}
