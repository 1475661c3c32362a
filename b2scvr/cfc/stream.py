"""Pictures and masks read one after another, of which only those that are still needed stay in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import numpy as np


class PictureStream:
    """The pictures of a clip with their masks, by display index; reads ahead as far as it is asked.

    pictures: uint8 [H, W, 3], all of one size; masks: uint8 or bool [H, W], as many, not zero = corrupted. What does not
    belong together is a ValueError, once it is read.
    """

    def __init__(self, pictures: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> None:
        self._source: Iterator[tuple[np.ndarray | None, np.ndarray | None]] = zip_longest(pictures, masks)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._damaged: dict[int, bool] = {}
        self._read = 0
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Return how many pictures are in memory."""
        return len(self._kept)

    def exists(self, index: int) -> bool:
        """Return whether the clip has a picture `index`; reads on until it is known."""
        while self._read <= index:
            pair = next(self._source, None)
            if pair is None:
                return False
            picture, mask = self._checked(*pair)
            self._kept[self._read] = picture, mask
            self._damaged[self._read] = bool(mask.any())
            self._read += 1
        return True

    def picture(self, index: int) -> np.ndarray:
        """Return picture `index`; KeyError when it was forgotten or is not there."""
        self.exists(index)
        return self._kept[index][0]

    def mask(self, index: int) -> np.ndarray:
        """Return the mask of picture `index`, bool [H, W]; KeyError as with `picture`."""
        self.exists(index)
        return self._kept[index][1]

    def damaged(self, index: int) -> bool:
        """Return whether picture `index`, which exists, has anything in its mask."""
        self.exists(index)
        return self._damaged[index]

    def forget(self, before: int) -> None:
        """Let go of the pictures before index `before`."""
        for index in [i for i in self._kept if i < before]:
            del self._kept[index], self._damaged[index]

    def _checked(self, picture: np.ndarray | None, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        index = self._read
        if picture is None or mask is None:
            fewer, more = ("pictures", "masks") if picture is None else ("masks", "pictures")
            raise ValueError(f"there are {index} {fewer} and more {more}: one mask a picture is asked for")
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"picture {index}: expected uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
        self._size = self._size or picture.shape[:2]
        if picture.shape[:2] != self._size:
            raise ValueError(
                f"picture {index} is {_size(picture)}, those before are {self._size[1]}x{self._size[0]}: "
                "all pictures of a clip have one size"
            )
        if mask.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"mask {index}: expected uint8 or bool, got {mask.dtype}")
        if mask.shape != picture.shape[:2]:
            raise ValueError(f"mask {index} is {_size(mask)}, its picture {_size(picture)}: they must be of one size")
        return picture, mask.astype(bool)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}" if array.ndim > 1 else f"{list(array.shape)}"
