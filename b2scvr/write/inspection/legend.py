"""The strip under a picture: what it is, what its colours mean, what to see in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.write.inspection.lettering import LINE, cut_to, text_width, wrap, write_text
from b2scvr.write.inspection.palette import FAINT, INK, PAPER, Colour

SWATCH = 16  # pixels on a side
LEAST_WIDTH = 640  # pixels that the words need
_MARGIN, _GAP = 10, 22
_ONE_LINE = 1000  # pixels of width from which on the words fit into one line


@dataclass(frozen=True)
class Entry:
    """One meaning: its swatch, uint8 [SWATCH, any, 3] RGB, with a label on the right, and perhaps one on the left.

    room: the widest label that this entry has in any picture of the clip, so that the strip never changes its size.
    """

    label: str
    swatch: np.ndarray
    before: str = ""
    room: str = ""

    @property
    def width(self) -> int:
        """Pixels from one entry to the next."""
        words = text_width(self.room or self.label) + (text_width(self.before) + 6 if self.before else 0)
        return self.swatch.shape[1] + 6 + words + _GAP

    def draw(self, image: np.ndarray, x: int, y: int) -> None:
        """Draw the entry into `image`, uint8 [H, W, 3], in place; (x, y) is its upper left corner."""
        base = y + 12
        if self.before:
            write_text(image, self.before, (x, base))
            x += text_width(self.before) + 6
        image[y : y + SWATCH, x : x + self.swatch.shape[1]] = self.swatch
        write_text(image, self.label, (x + self.swatch.shape[1] + 6, base))


def filled(colour: Colour) -> np.ndarray:
    """Return a swatch of one colour with a thin edge, uint8 [SWATCH, SWATCH, 3]."""
    swatch = np.full((SWATCH, SWATCH, 3), colour, np.uint8)
    cv2.rectangle(swatch, (0, 0), (SWATCH - 1, SWATCH - 1), tuple(c // 2 for c in colour), 1)
    return swatch


def scale_bar(colours: np.ndarray) -> np.ndarray:
    """Return a swatch of a scale, uint8 [SWATCH, N, 3], of its colours from low to high, uint8 [N, 3]."""
    return np.repeat(colours[None], SWATCH, axis=0)


def with_legend(image: np.ndarray, title: str, entries: list[Entry], words: str) -> np.ndarray:
    """Return `image`, uint8 [H, W, 3] RGB, with a strip below it: title, entries, words.

    The height of the strip depends on the entries and on the width, not on title and words, so that the pictures of one
    video are of one size; a picture narrower than LEAST_WIDTH gets a margin at its right.
    """
    width = max(image.shape[1], LEAST_WIDTH)
    places, rows = flow(entries, width)
    lines = 1 if width >= _ONE_LINE else 2
    height = _MARGIN + LINE * (1 + lines) + rows * (LINE + 6) + _MARGIN // 2
    strip = np.full((height + height % 2, width, 3), PAPER, np.uint8)
    strip[:1] = FAINT
    room, base = width - 2 * _MARGIN, _MARGIN + 12
    write_text(strip, cut_to(title, room, bold=True), (_MARGIN, base), bold=True)
    top = _MARGIN + LINE + 4
    for entry, (x, row) in zip(entries, places, strict=True):
        entry.draw(strip, x, top + row * (LINE + 6))
    base += rows * (LINE + 6) + LINE + (6 if rows else 0)
    for number, line in enumerate(wrap(words, room)[:lines]):
        write_text(strip, line, (_MARGIN, base + number * LINE), INK)
    beside = np.full((image.shape[0], width - image.shape[1], 3), PAPER, np.uint8)
    return np.vstack([np.hstack([image, beside]), strip])


def flow(entries: list[Entry], width: int) -> tuple[list[tuple[int, int]], int]:
    """Return (x, row) of each entry in a strip of `width` pixels, and the number of rows."""
    places: list[tuple[int, int]] = []
    x, row = _MARGIN, 0
    for entry in entries:
        if places and x + entry.width - _GAP > width - _MARGIN:
            x, row = _MARGIN, row + 1
        places.append((x, row))
        x += entry.width
    return places, row + 1 if entries else 0
