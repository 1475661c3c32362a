"""Macroblock modes: a colour a mode, with the lines of its partition."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.types import ParsedClip, Partition, PredictionMode
from b2scvr.write.inspection.canvas import Drawing, backdrop, blend, macroblock_side, spread
from b2scvr.write.inspection.legend import SWATCH, Entry, filled
from b2scvr.write.inspection.palette import MODES, PARTITIONS, Colour

PALE = (96, 246)  # greys of the backdrop
OPACITY, GRID_OPACITY = 0.5, 0.35
LINE_COLOUR = (28, 30, 34)
CHIP = 4  # the square in the middle of a macroblock has this part of its side
_COLOURS = np.zeros((256, 3), np.uint8)  # by PredictionMode
for _mode, (_, _colour) in MODES.items():
    _COLOURS[_mode] = _colour


def draw_modes(clip: ParsedClip, index: int, scale: float) -> Drawing:
    """Draw the prediction modes of picture `index`: each macroblock tinted, its middle in the pure colour of its mode."""
    mode, partition = clip.mode[index], clip.partition[index]
    height, width = clip.frames.shape[1:3]
    side = macroblock_side(scale)
    image = backdrop(clip.frames[index], scale, *PALE)
    rows, columns = image.shape[:2]
    known = spread(mode != PredictionMode.UNKNOWN, height, width, scale)
    colours = spread(_COLOURS[mode], height, width, scale)
    image = blend(image, colours, OPACITY * known)
    for border in (image[::side], image[:, ::side]):
        border[:] = blend(border, np.full_like(border, 255), GRID_OPACITY)
    image[partition_lines(partition, side)[:rows, :columns]] = LINE_COLOUR
    inside = np.tile(_chip(side), mode.shape)[:rows, :columns] & known
    image[inside] = colours[inside]
    return Drawing(image, mode_entries(mode), "" if known.any() else "no modes are known of this picture")


def mode_entries(mode: np.ndarray) -> list[Entry]:
    """Return the legend, with the share of each mode in `mode`, [h, w]."""
    entries = []
    for kind, (name, colour) in MODES.items():
        share = 100 * np.count_nonzero(mode == kind) / mode.size
        entries.append(Entry(f"{name} {share:.0f} %", filled(colour), room=f"{name} 100 %"))
    return entries + [Entry(name, _partition_swatch(kind)) for kind, name in PARTITIONS.items()]


def partition_lines(partition: np.ndarray, side: int) -> np.ndarray:
    """Return the lines of partitions [h, w] on macroblocks of `side` pixels, bool [h * side, w * side]."""
    patterns = np.zeros((len(Partition), side, side), bool)
    middle = side // 2
    patterns[Partition.ROWS, middle] = patterns[Partition.COLUMNS, :, middle] = True
    patterns[Partition.QUARTERS, middle] = patterns[Partition.QUARTERS, :, middle] = True
    patterns[:, 0, :] = patterns[:, :, 0] = False
    return patterns[partition].swapaxes(1, 2).reshape(partition.shape[0] * side, partition.shape[1] * side)


def _chip(side: int) -> np.ndarray:
    """Return which pixels of a macroblock are its middle, bool [side, side]."""
    chip = np.zeros((side, side), bool)
    half = max(1, side // CHIP // 2)
    chip[side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = True
    return chip


def _partition_swatch(kind: Partition) -> np.ndarray:
    grey: Colour = (232, 234, 236)
    swatch = filled(grey)
    swatch[partition_lines(np.array([[kind]]), SWATCH)] = LINE_COLOUR
    cv2.rectangle(swatch, (0, 0), (SWATCH - 1, SWATCH - 1), tuple(c // 2 for c in grey), 1)
    return swatch
