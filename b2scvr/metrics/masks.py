"""Masks against the visible damage. The truth itself is defined in `ops.masks`, which training uses too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2scvr.metrics.psnr import require_same
from b2scvr.ops.masks import damage_mask


@dataclass(frozen=True)
class MaskScores:
    """Pixel counts pooled over the pictures of a clip, and the ratios of them."""

    hits: int  # marked and damaged
    false_alarms: int  # marked, not damaged
    misses: int  # damaged, not marked

    @property
    def iou(self) -> float:
        """Intersection over union; 1 when nothing is damaged and nothing is marked."""
        return _ratio(self.hits, self.hits + self.false_alarms + self.misses, empty=1.0)

    @property
    def precision(self) -> float:
        """Share of the marked pixels that are damaged; with nothing marked, 1 if nothing is damaged and 0 otherwise."""
        return _ratio(self.hits, self.hits + self.false_alarms, empty=float(self.misses == 0))

    @property
    def recall(self) -> float:
        """Share of the damaged pixels that are marked; 1 when nothing is damaged."""
        return _ratio(self.hits, self.hits + self.misses, empty=1.0)

    def __add__(self, other: MaskScores) -> MaskScores:
        return MaskScores(
            self.hits + other.hits, self.false_alarms + other.false_alarms, self.misses + other.misses
        )  # fmt: skip


def mask_scores(masks: np.ndarray, truth: np.ndarray) -> MaskScores:
    """Return the scores of `masks` against `truth`, both [T, H, W], nonzero = damaged. Raises ValueError on other shapes."""
    if masks.shape != truth.shape:
        raise ValueError(f"masks {list(masks.shape)} and truth {list(truth.shape)} do not match")
    marked, damaged = masks.astype(bool), truth.astype(bool)
    hits = int(np.count_nonzero(marked & damaged))
    return MaskScores(hits, int(np.count_nonzero(marked)) - hits, int(np.count_nonzero(damaged)) - hits)


def mask_truth(decoded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the true masks uint8 [T, H, W], 1 = visibly damaged, of a damaged and a clean decode uint8 [T, H, W, 3]."""
    require_same(decoded, clean)
    return np.stack([damage_mask(picture, true) for picture, true in zip(decoded, clean, strict=True)])


def damaged_pictures(decoded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return bool [T]: pictures that differ at all from the clean decode, uint8 [T, H, W, 3] both."""
    require_same(decoded, clean)
    return (decoded != clean).any(axis=(1, 2, 3))


def _ratio(part: int, whole: int, empty: float) -> float:
    return part / whole if whole else empty
