"""Slices: their edges, and of each its number, type and size."""

from __future__ import annotations

import numpy as np

from b2scvr.bitstream.nal import SLICE_TYPES
from b2scvr.types import ParsedClip
from b2scvr.write.inspection.canvas import Drawing, backdrop, blend, macroblock_side, spread
from b2scvr.write.inspection.legend import SWATCH, Entry
from b2scvr.write.inspection.lettering import text_width, write_text
from b2scvr.write.inspection.palette import INK, PAPER, PURPLE, SKY, Colour

DARK = (10, 150)  # greys of the backdrop
TINTS = (SKY, PURPLE)  # of one slice and the next
OPACITY, EDGE = 0.28, (255, 255, 255)
_LABEL, _LABEL_SIZE = 14, 0.4  # pixels a label is high; of its font
_SLICE_TYPES = ("P", "B", "I", "SP", "SI")  # slice_type modulo 5, H.264 table 7-6


def draw_slices(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the slices of picture `index` in two colours by turns, each with its number, type and bytes at its start."""
    height, width = clip.frames.shape[1:3]
    number = slice_numbers(clip.slice_start[index])
    pixels = spread(number, height, width, scale)
    image = backdrop(clip.frames[index], scale, *DARK)
    image = blend(image, spread(np.array(TINTS, np.uint8)[number % 2], height, width, scale), OPACITY)
    image[_edges(pixels)] = EDGE
    labels = _labels(clip, index)
    _write_labels(image, labels, clip.mode.shape[2], macroblock_side(scale))
    entries = [Entry("one slice and", _tint_swatch(SKY)), Entry("the next", _tint_swatch(PURPLE))]
    sizes = clip.nal_units["size"][_of_picture(clip, index)]
    if not len(sizes):
        return Drawing(image, entries, "no slice of this picture could be read")
    if len(sizes) > 1:
        words = f"{len(sizes)} slices of {sizes.min()} to {sizes.max()} bytes; at each start its number, type and bytes"
    else:
        words = f"one slice of {sizes[0]} bytes; at its start number, type and bytes"
    if len(labels) < len(sizes):
        words += f"; {len(sizes) - len(labels)} with a header that cannot be read"
    return Drawing(image, entries, words)


def slice_numbers(starts: np.ndarray) -> np.ndarray:
    """Return which slice each macroblock is of, int [h, w], counted from 0 in raster order; starts: bool [h, w].

    A slice that was lost whole has no start: its macroblocks count to the one before it.
    """
    return np.maximum(np.cumsum(starts.reshape(-1)) - 1, 0).reshape(starts.shape)


def _edges(pixels: np.ndarray) -> np.ndarray:
    """Return where a slice ends, bool [H, W]: one pixel on either side."""
    edge = np.zeros(pixels.shape, bool)
    across, down = pixels[:, 1:] != pixels[:, :-1], pixels[1:] != pixels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge


def _of_picture(clip: ParsedClip, index: int) -> np.ndarray:
    """Return which rows of `clip.nal_units` are slices of picture `index`, bool [N]."""
    units = clip.nal_units
    return (units["slot"] == index) & np.isin(units["type"], list(SLICE_TYPES))


def _labels(clip: ParsedClip, index: int) -> list[tuple[int, str]]:
    """Return (first macroblock, words) of each slice whose header can be read, in raster order."""
    units = clip.nal_units[_of_picture(clip, index)]
    units = np.sort(units[units["first_mb"] >= 0], order="first_mb")
    return [
        (int(u["first_mb"]), f"{number} {_SLICE_TYPES[u['slice_type'] % 5]} {u['size']}")
        for number, u in enumerate(units)
    ]


def _write_labels(image: np.ndarray, labels: list[tuple[int, str]], columns: int, side: int) -> None:
    """Write labels at the starts of their slices; one that would cover the one before it is left out."""
    taken: list[tuple[int, int]] = []  # right end and top of the labels so far
    for first, words in labels:
        row, column = divmod(first, columns)
        width = text_width(words, _LABEL_SIZE) + 6
        x, y = min(column * side + 3, image.shape[1] - width), row * side + 3
        if y + _LABEL > image.shape[0] or any(x < right and abs(y - top) < _LABEL for right, top in taken[-columns:]):
            continue
        image[y : y + _LABEL, max(0, x) : x + width] = PAPER
        write_text(image, words, (max(0, x) + 3, y + _LABEL - 3), INK, _LABEL_SIZE)
        taken.append((x + width, y))


def _tint_swatch(colour: Colour) -> np.ndarray:
    return blend(np.full((SWATCH, SWATCH, 3), 80, np.uint8), np.full((SWATCH, SWATCH, 3), colour, np.uint8), OPACITY)
