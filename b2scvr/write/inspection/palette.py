"""Colours by meaning, RGB. Kinds take Okabe and Ito's eight colours, amounts cividis: both keep apart for the colour-blind.

M. Okabe, K. Ito, "Color Universal Design" (2008). J. Nunez et al., "Optimizing colormaps with consideration for color
vision deficiency", PLOS ONE 13(7), 2018.
"""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.types import AccessUnitStatus, Partition, PredictionMode
from b2scvr.write.overlay import COLOUR as MASK_COLOUR

Colour = tuple[int, int, int]

ORANGE, SKY, GREEN, YELLOW = (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66)
BLUE, VERMILLION, PURPLE, BLACK = (0, 114, 178), (213, 94, 0), (204, 121, 167), (0, 0, 0)

PAPER, INK, FAINT = (252, 252, 250), (34, 36, 40), (214, 216, 218)

PAST, FUTURE = ORANGE, SKY
CONCEALED, TRACED, NOTICED = MASK_COLOUR, ORANGE, YELLOW
TYPES: dict[str, Colour] = {"I": (0, 60, 110), "P": SKY, "B": (188, 200, 210), "?": (120, 120, 120)}
STATUSES: dict[AccessUnitStatus, Colour] = {
    AccessUnitStatus.INTACT: (226, 230, 232),
    AccessUnitStatus.DEPENDENT: TRACED,
    AccessUnitStatus.BROKEN: CONCEALED,
    AccessUnitStatus.LOST: BLACK,
}
MODES: dict[PredictionMode, tuple[str, Colour]] = {
    PredictionMode.INTRA_NXN: ("intra 4x4, 8x8", PURPLE),
    PredictionMode.INTRA_16X16: ("intra 16x16", VERMILLION),
    PredictionMode.PCM: ("PCM", BLACK),
    PredictionMode.SKIP: ("skip", (198, 200, 202)),
    PredictionMode.DIRECT: ("direct", YELLOW),
    PredictionMode.PAST: ("past", PAST),
    PredictionMode.FUTURE: ("future", FUTURE),
    PredictionMode.BOTH: ("both", GREEN),
    PredictionMode.UNKNOWN: ("unknown", (255, 255, 255)),
}
PARTITIONS: dict[Partition, str] = {
    Partition.ROWS: "16x8",
    Partition.COLUMNS: "8x16",
    Partition.QUARTERS: "8x8",
}


def heat(amount: np.ndarray) -> np.ndarray:
    """Return the colours of amounts in [0, 1], any shape [...] -> uint8 [..., 3]: cividis, dark blue to yellow."""
    levels = np.rint(np.clip(amount, 0, 1) * 255).astype(np.uint8).reshape(-1, 1)
    return cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[..., ::-1].reshape(*np.shape(amount), 3)
