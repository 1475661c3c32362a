"""A picture at the size at which it is drawn on, and macroblocks on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.types import MB_SIZE
from b2scvr.write.inspection.legend import Entry
from b2scvr.write.inspection.palette import Colour

# Longest side of a picture in pixels, and the scale up to it: a macroblock stays a whole number of pixels.
SCALES = ((200, 4.0), (320, 3.0), (960, 2.0), (2600, 1.0), (5200, 0.5))
SMALLEST_SCALE = 0.25
EDGE_PX = 2


@dataclass(frozen=True)
class Drawing:
    """One layer of one picture: the image, uint8 [H, W, 3] RGB, what its colours mean, and what is to be seen, in words."""

    image: np.ndarray
    entries: list[Entry]
    words: str


def drawing_scale(height: int, width: int) -> float:
    """Return the factor by which pictures are drawn larger: 2 for 240p and 480p, 1 for HD, 1/2 for 4K."""
    return next((scale for longest, scale in SCALES if max(height, width) <= longest), SMALLEST_SCALE)


def enlarge(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return a copy of a picture, uint8 [H, W, 3], at `scale`."""
    height, width = drawn_size(picture.shape[0], picture.shape[1], scale)
    if scale == 1:
        return picture.copy()
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA)


def drawn_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return height and width of a picture drawn at `scale`; what is left of a pixel counts as one."""
    return int(np.ceil(height * scale)), int(np.ceil(width * scale))


def backdrop(picture: np.ndarray, scale: float, low: int, high: int) -> np.ndarray:
    """Return a picture, uint8 [H, W, 3], in greys from `low` to `high` at `scale`: something for colours to stand on."""
    grey = cv2.cvtColor(enlarge(picture, scale), cv2.COLOR_RGB2GRAY).astype(np.float32)
    levels = np.rint(low + grey * ((high - low) / 255)).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def spread(macroblocks: np.ndarray, height: int, width: int, scale: float) -> np.ndarray:
    """Return values of macroblocks [h, w, ...] at every pixel of a picture of `height` x `width` drawn at `scale`."""
    side = macroblock_side(scale)
    rows, columns = drawn_size(height, width, scale)
    return macroblocks.repeat(side, 0).repeat(side, 1)[:rows, :columns]


def outline(image: np.ndarray, macroblocks: np.ndarray, height: int, width: int, scale: float, colour: Colour) -> None:
    """Draw the edge of the macroblocks bool [h, w] of a picture of `height` x `width` drawn at `scale`, in place."""
    mask = spread(macroblocks.astype(np.uint8), height, width, scale)
    edges, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, edges, -1, colour, EDGE_PX)


def macroblock_side(scale: float) -> int:
    """Return the pixels on a side of a macroblock drawn at `scale`."""
    return int(MB_SIZE * scale)


def blend(image: np.ndarray, colours: np.ndarray, opacity: np.ndarray | float) -> np.ndarray:
    """Return `image` with `colours` laid over it, both uint8 [H, W, 3]; opacity in [0, 1], a number or float [H, W]."""
    share = opacity.astype(np.float32)[..., None] if isinstance(opacity, np.ndarray) else np.float32(opacity)
    base = image.astype(np.float32)
    return np.rint(base + (colours - base) * share).astype(np.uint8)
