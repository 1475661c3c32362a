"""A dot plot: one row for each thing, one mark for each series, and the means with their intervals below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.write.inspection.legend import SWATCH, Entry, flow
from b2scvr.write.inspection.lettering import LINE, cut_to, text_width, write_centred, write_right, write_text
from b2scvr.write.inspection.palette import (
    BLACK,
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILLION,
    Colour,
)

PLOT_WIDTH, WIDEST_LABEL = 860, 300  # pixels
LANE, ROW_GAP = 9, 10  # pixels: height of a series in a row, and between two rows
MARK = 4  # pixels from the middle of a mark to its edge
COLOURS: tuple[Colour, ...] = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)  # then again with the next shape
SHAPES = ("circle", "square", "diamond", "triangle")
MEAN = "mean, 95 % interval"
_MARGIN, _MOST_TICKS = 14, 8


@dataclass(frozen=True)
class Series:
    """One method: its value in each row that it has one in, and the mean with the ends of its interval.

    hollow: drawn as an outline, for what is no fair peer. low, high: NaN where there is no interval.
    """

    name: str
    values: Mapping[str, float]
    mean: float
    low: float
    high: float
    hollow: bool = False


def dot_plot(series: Sequence[Series], title: str, axis: str) -> np.ndarray:
    """Return the plot of at least one series with at least one value, uint8 [H, W, 3] RGB.

    Rows come in the order in which the series name them; axis: what the numbers are. Raises ValueError for no value.
    """
    rows = list(dict.fromkeys(row for one in series for row in one.values))
    if not rows:
        raise ValueError("dot_plot: nothing to draw")
    left = _MARGIN + 10 + min(WIDEST_LABEL, max(text_width(row) for row in [*rows, MEAN]))
    width = left + PLOT_WIDTH + 2 * _MARGIN
    entries = [Entry(one.name, _swatch(number, one.hollow)) for number, one in enumerate(series)]
    places, lines = flow(entries, width)
    top = _MARGIN + LINE + lines * (LINE + 6) + LINE
    row_height = LANE * len(series) + ROW_GAP
    bottom = top + row_height * (len(rows) + 1)
    image = np.full((bottom + 2 * LINE + _MARGIN, width, 3), PAPER, np.uint8)
    write_text(image, cut_to(title, width - 2 * _MARGIN, bold=True), (_MARGIN, _MARGIN + 10), bold=True)
    for entry, (x, line) in zip(entries, places, strict=True):
        entry.draw(image, x, _MARGIN + LINE + line * (LINE + 6))
    scale = _Scale.around(series, left + _MARGIN, left + PLOT_WIDTH)
    _draw_axis(image, scale, top, bottom, axis)
    for number, row in enumerate([*rows, MEAN]):
        middle = top + number * row_height + row_height // 2
        cv2.line(image, (_MARGIN, middle - row_height // 2), (width - _MARGIN, middle - row_height // 2), FAINT, 1)
        write_right(image, cut_to(row, left - _MARGIN - 10), (left - 10, middle + 5), INK)
        for lane, one in enumerate(series):
            y = middle + round((lane - (len(series) - 1) / 2) * LANE)
            if row == MEAN:
                _draw_interval(image, scale, one, y, COLOURS[lane % len(COLOURS)])
            value = one.mean if row == MEAN else one.values.get(row)
            if value is not None:
                _mark(image, (scale.x(value), y), lane, one.hollow)
    return image


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    step: float
    first: int
    last: int

    @classmethod
    def around(cls, series: Sequence[Series], first: int, last: int) -> _Scale:
        """A scale with round ends that holds all values, means, intervals and zero."""
        values = [0.0, *(value for one in series for value in one.values.values())]
        for one in series:
            values += [one.mean, *(end for end in (one.low, one.high) if not math.isnan(end))]
        span = max(max(values) - min(values), 1e-6)
        power = 10 ** math.floor(math.log10(span / _MOST_TICKS))
        step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= _MOST_TICKS)
        return cls(math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step, step, first, last)

    def x(self, value: float) -> int:
        """The pixel column of a value."""
        share = (value - self.low) / max(self.high - self.low, 1e-9)
        return round(self.first + share * (self.last - self.first))

    def ticks(self) -> list[float]:
        """The values that are written."""
        return [self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)]


def _draw_axis(image: np.ndarray, scale: _Scale, top: int, bottom: int, axis: str) -> None:
    for value in scale.ticks():
        x = scale.x(value)
        cv2.line(image, (x, top), (x, bottom), FAINT, 1)
        write_centred(image, f"{value:g}" if value else "0", (x, bottom + 16), INK, 0.4)
    zero = scale.x(0)
    cv2.line(image, (zero, top), (zero, bottom), INK, 1)
    write_centred(image, axis, ((scale.first + scale.last) // 2, bottom + 16 + LINE), INK)


def _draw_interval(image: np.ndarray, scale: _Scale, one: Series, y: int, colour: Colour) -> None:
    if not (math.isnan(one.low) or math.isnan(one.high)):
        cv2.line(image, (scale.x(one.low), y), (scale.x(one.high), y), colour, 2, cv2.LINE_AA)


def _mark(image: np.ndarray, at: tuple[int, int], number: int, hollow: bool) -> None:
    """Draw the mark of series `number` around (x, y), in place."""
    colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)]
    if shape == "circle":
        corners = np.array(cv2.ellipse2Poly(at, (MARK, MARK), 0, 0, 360, 20), np.int32)
    else:
        x, y = at
        corners = np.array(
            {
                "square": [(x - MARK, y - MARK), (x + MARK, y - MARK), (x + MARK, y + MARK), (x - MARK, y + MARK)],
                "diamond": [(x, y - MARK - 1), (x + MARK + 1, y), (x, y + MARK + 1), (x - MARK - 1, y)],
                "triangle": [(x, y - MARK - 1), (x + MARK + 1, y + MARK), (x - MARK - 1, y + MARK)],
            }[shape],
            np.int32,
        )
    cv2.fillPoly(image, [corners], PAPER if hollow else colour, cv2.LINE_AA)
    cv2.polylines(image, [corners], True, colour, 1, cv2.LINE_AA)


def _swatch(number: int, hollow: bool) -> np.ndarray:
    swatch = np.full((SWATCH, SWATCH, 3), PAPER, np.uint8)
    _mark(swatch, (SWATCH // 2, SWATCH // 2), number, hollow)
    return swatch
