"""Windows that overlap become one picture: as the release puts them together, or without a seam.

Pictures are float32 [H, W, 3] in levels, 0 to 255.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from b2scvr.cfc.windows import Window


class Blend(Protocol):
    """Collects what the windows say of each picture."""

    def add(self, index: int, window: Window, restored: np.ndarray, decoded: np.ndarray, mask: np.ndarray) -> None:
        """Take picture `index` of a window; restored: everywhere; decoded: the picture as it came; mask: bool [H, W]."""
        ...

    def take(self, index: int) -> np.ndarray | None:
        """Return picture `index` and forget it; None if no window had it."""
        ...


class PublishedBlend:
    """The release's way: half of what was there and half of what comes, so that the last of three windows weighs most.

    truncate: whole levels, rounded down, after each window, as the release; without, the same in real numbers.
    """

    def __init__(self, truncate: bool = True) -> None:
        self.truncate = truncate
        self._pictures: dict[int, np.ndarray] = {}

    def add(self, index: int, window: Window, restored: np.ndarray, decoded: np.ndarray, mask: np.ndarray) -> None:
        """See Blend."""
        shown = np.floor(restored) if self.truncate else restored
        picture = np.where(mask[..., None], shown, decoded).astype(np.float32)
        if index in self._pictures:
            picture = 0.5 * self._pictures[index] + 0.5 * picture
        self._pictures[index] = picture

    def take(self, index: int) -> np.ndarray | None:
        """See Blend."""
        picture = self._pictures.pop(index, None)
        return np.floor(picture) if picture is not None and self.truncate else picture


class CrossFade:
    """A window's weight grows from its edges to its middle: one window fades into the next, and there is no seam."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[np.ndarray, float]] = {}

    def add(self, index: int, window: Window, restored: np.ndarray, decoded: np.ndarray, mask: np.ndarray) -> None:
        """See Blend."""
        weight = float(min(index - window.local.start, window.local.stop - 1 - index) + 1)
        total, weights = self._sums.get(index, (0.0, 0.0))
        self._sums[index] = total + weight * np.where(mask[..., None], restored, decoded), weights + weight

    def take(self, index: int) -> np.ndarray | None:
        """See Blend."""
        found = self._sums.pop(index, None)
        return None if found is None else found[0] / found[1]
