"""Words on pictures. ASCII only: OpenCV before 5 draws nothing else."""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.write.inspection.palette import INK, Colour

SIZE = 0.45  # of OpenCV's font: capitals of about 9 pixels
LINE = 20  # pixels from one line to the next
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CUT = "..."


def text_width(text: str, size: float = SIZE, bold: bool = False) -> int:
    """Return the width of a text in pixels."""
    return int(cv2.getTextSize(text, _FONT, size, 1 + bold)[0][0])


def write_text(
    image: np.ndarray, text: str, at: tuple[int, int], colour: Colour = INK, size: float = SIZE, bold: bool = False
) -> None:
    """Write one line into `image`, uint8 [H, W, 3], in place. at: (x, y) of its left end on the base line."""
    cv2.putText(image, text, at, _FONT, size, colour, 1 + bold, cv2.LINE_AA)


def write_right(image: np.ndarray, text: str, at: tuple[int, int], colour: Colour = INK, size: float = SIZE) -> None:
    """Write one line that ends at (x, y), in place."""
    write_text(image, text, (at[0] - text_width(text, size), at[1]), colour, size)


def write_centred(image: np.ndarray, text: str, at: tuple[int, int], colour: Colour = INK, size: float = SIZE) -> None:
    """Write one line around (x, y), in place."""
    write_text(image, text, (at[0] - text_width(text, size) // 2, at[1]), colour, size)


def cut_to(text: str, width: int, size: float = SIZE, bold: bool = False) -> str:
    """Return the text, its end replaced by dots where it is wider than `width` pixels."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + _CUT, size, bold) > width:
        text = text[:-1]
    return text + _CUT


def wrap(text: str, width: int, size: float = SIZE) -> list[str]:
    """Return the text in lines no wider than `width` pixels, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [cut_to(line, width, size) for line in lines]
