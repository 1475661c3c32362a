"""The timeline of a stream as one picture, in display order: sizes, types, status and damage of its access units.

Many pictures share a column: it then shows the largest of them, the worst status and the most damage, so that one bad
picture in a thousand is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.bitstream.describe import AccessUnit
from b2scvr.types import AccessUnitStatus
from b2scvr.write.inspection.legend import Entry, filled, flow
from b2scvr.write.inspection.lettering import LINE, cut_to, write_centred, write_right, write_text
from b2scvr.write.inspection.palette import CONCEALED, FAINT, INK, PAPER, STATUSES, TRACED, TYPES, Colour

WIDEST_PLOT, NARROWEST_PLOT = 1500, 760  # pixels
WIDEST_COLUMN, NARROWEST_COLUMN = 76, 2  # pixels
LETTERED_COLUMN = 9  # pixels: from here on a column has room for its letter
SIZES_HEIGHT, DAMAGE_HEIGHT, STRIP_HEIGHT = 220, 110, 18  # pixels
_LEFT, _RIGHT, _GAP = 92, 24, 14
_SEVERITY = ("intact", "dependent", "broken", "lost")
_STATUS_LABELS = {"dependent": "dependent; damage trace", "broken": "broken; concealed macroblocks"}
_LETTERS = {"dependent": "d", "broken": "b", "lost": "L"}
_SIZE_TICKS = 5  # at most
_QUIET = (110, 114, 118)


@dataclass(frozen=True)
class Column:
    """What one column of the timeline shows: `count` pictures from display index `first` on."""

    first: int
    count: int
    size: int  # bytes of the largest
    type: str  # of the largest
    status: str  # the worst
    concealed: float  # the most, 0..1
    trace: float
    key: bool


def columns(units: list[AccessUnit], plot_px: int = WIDEST_PLOT) -> list[Column]:
    """Return the columns of a timeline of `plot_px` pixels: one an access unit, or as few of them as do not fit otherwise."""
    per_column = -(-len(units) * NARROWEST_COLUMN // plot_px)
    groups = [units[i : i + per_column] for i in range(0, len(units), per_column)]
    return [_column(group) for group in groups]


def draw_timeline(units: list[AccessUnit], title: str, fps: float, absent: str = "") -> np.ndarray:
    """Return the timeline of the access units (display order, at least one), uint8 [H, W, 3] RGB.

    absent: why nothing is known of the damage inside a picture; empty where it is known.
    """
    shown = columns(units)
    step = min(WIDEST_COLUMN, max(NARROWEST_COLUMN, WIDEST_PLOT // len(shown)))
    width = _LEFT + max(NARROWEST_PLOT, step * len(shown)) + _RIGHT
    entries = _entries(units)
    places, rows = flow(entries, width)
    remark = 12 + LINE + rows * (LINE + 6)
    top = remark + 52
    strips = top + SIZES_HEIGHT + _GAP
    damage = strips + 2 * (STRIP_HEIGHT + 4) + _GAP
    height = damage + DAMAGE_HEIGHT + 62
    image = np.full((height + height % 2, width + width % 2, 3), PAPER, np.uint8)
    write_text(image, cut_to(title, width - 24, bold=True), (12, 22), bold=True)
    for entry, (x, row) in zip(entries, places, strict=True):
        entry.draw(image, x, 12 + LINE + row * (LINE + 6))
    if (count := shown[0].count) > 1:
        words = f"{count} pictures share a column: it shows the largest of them, the worst status, the most damage"
        write_text(image, cut_to(words, width - 24), (12, remark + 14), _QUIET)
    plot = _Plot(image, shown, step)
    plot.keys(top - 6, damage + DAMAGE_HEIGHT)
    plot.sizes(top, SIZES_HEIGHT)
    plot.strip("type", strips, [(TYPES[c.type], c.type) for c in shown])
    plot.strip(
        "status", strips + STRIP_HEIGHT + 4, [(_status_colour(c.status), _LETTERS.get(c.status, "")) for c in shown]
    )
    plot.damage(damage, DAMAGE_HEIGHT, absent)
    plot.axis(damage + DAMAGE_HEIGHT, fps)
    return image


def bar_height(value: float, most: float, height: int) -> int:
    """Return how many pixels of `height` a bar of `value` takes; what is not nothing is seen."""
    return max(1, round(value / most * height)) if value > 0 else 0


class _Plot:
    """The area of the columns; each method draws one row of it, in place."""

    def __init__(self, image: np.ndarray, shown: list[Column], step: int) -> None:
        self.image, self.shown, self.step = image, shown, step
        self.bar = max(1, step - (2 if step >= 6 else 1 if step >= 3 else 0))
        self.right = _LEFT + step * len(shown)

    def sizes(self, top: int, height: int) -> None:
        """Bars of the access units' sizes in the colours of their types."""
        largest = max(column.size for column in self.shown)
        step = _tick(largest / _SIZE_TICKS)
        most = max(1, -(-largest // step)) * step
        for size in range(step, most + 1, step):
            self._grid(top + height - round(size / most * height), _bytes(size))
        for column, x in self._places():
            self._bar(x, top + height, bar_height(column.size, most, height), TYPES[column.type])
        self._line(top + height)
        write_right(self.image, "size", (_LEFT - 10, top + height), _QUIET)

    def damage(self, top: int, height: int, absent: str) -> None:
        """Bars of the share of concealed macroblocks, in front of the mean damage trace; words where there are none."""
        for share in (0.5, 1.0):
            self._grid(top + height - round(share * height), f"{100 * share:.0f} %")
        for column, x in self._places():
            self._bar(x, top + height, bar_height(column.trace, 1, height), TRACED)
            own = _status_colour("lost") if column.status == "lost" else CONCEALED
            self._bar(x, top + height, bar_height(column.concealed, 1, height), own)
        if not any(column.concealed or column.trace for column in self.shown):
            words = f"not known: {absent}" if absent else "none found"
            write_text(self.image, words, (_LEFT + 8, top + 3 * height // 4 + 5), _QUIET)
        self._line(top + height)
        write_right(self.image, "damage", (_LEFT - 10, top + height), _QUIET)

    def strip(self, name: str, top: int, cells: list[tuple[Colour, str]]) -> None:
        """One row of cells: a colour and, where there is room, a letter."""
        write_right(self.image, name, (_LEFT - 10, top + STRIP_HEIGHT - 5), _QUIET)
        for (_, x), (colour, letter) in zip(self._places(), cells, strict=True):
            self.image[top : top + STRIP_HEIGHT, x : x + self.bar] = colour
            if letter and self.step >= LETTERED_COLUMN:
                light = sum(colour) < 3 * 128
                write_centred(
                    self.image, letter, (x + self.bar // 2, top + STRIP_HEIGHT - 5), PAPER if light else INK, 0.38
                )

    def keys(self, top: int, bottom: int) -> None:
        """A mark above each key picture, and a line down from it; short lines alone where the marks would touch."""
        marked = [x for column, x in self._places() if column.key]
        sparse = len(marked) * 24 < self.step * len(self.shown) + 48
        for x in marked:
            middle = x + self.bar // 2
            if not sparse:
                cv2.line(self.image, (middle, top - 8), (middle, top - 1), INK, 1)
                continue
            cv2.line(self.image, (x - 1, top), (x - 1, bottom), FAINT, 1)
            corners = np.array([[middle - 4, top - 8], [middle + 4, top - 8], [middle, top - 1]], np.int32)
            cv2.fillPoly(self.image, [corners], INK, cv2.LINE_AA)

    def axis(self, top: int, fps: float) -> None:
        """Display indices and, under them, seconds."""
        write_right(self.image, "picture", (_LEFT - 26, top + 20), _QUIET)
        write_right(self.image, "seconds", (_LEFT - 26, top + 40), _QUIET)
        per_column = self.shown[0].count
        pictures = self.shown[-1].first + self.shown[-1].count
        wanted = 64 * per_column / self.step  # pictures that the words of one tick need
        for index in range(0, pictures, _tick(wanted)):
            x = _LEFT + index // per_column * self.step + self.bar // 2
            cv2.line(self.image, (x, top), (x, top + 5), INK, 1)
            write_centred(self.image, str(index), (x, top + 20))
            if fps > 0:
                write_centred(self.image, f"{round(index / fps, 2):g}", (x, top + 40), _QUIET)

    def _places(self) -> list[tuple[Column, int]]:
        return [(column, _LEFT + number * self.step) for number, column in enumerate(self.shown)]

    def _bar(self, x: int, bottom: int, height: int, colour: Colour) -> None:
        self.image[bottom - height : bottom, x : x + self.bar] = colour

    def _grid(self, y: int, label: str) -> None:
        cv2.line(self.image, (_LEFT - 4, y), (self.right, y), FAINT, 1)
        write_right(self.image, label, (_LEFT - 10, y + 5), INK, 0.4)

    def _line(self, y: int) -> None:
        cv2.line(self.image, (_LEFT - 4, y), (self.right, y), _QUIET, 1)


def _column(units: list[AccessUnit]) -> Column:
    largest = max(units, key=lambda unit: unit.size)
    return Column(
        first=units[0].display_index,
        count=len(units),
        size=largest.size,
        type=largest.type,
        status=max((unit.status for unit in units), key=_SEVERITY.index),
        concealed=max(unit.concealed for unit in units),
        trace=max(unit.trace for unit in units),
        key=any(unit.key for unit in units),
    )


def _entries(units: list[AccessUnit]) -> list[Entry]:
    """The legend, with what does not occur left out."""
    types, statuses = ({getattr(unit, name) for unit in units} for name in ("type", "status"))
    entries = [Entry(name, filled(colour)) for name, colour in TYPES.items() if name in types]
    entries += [
        Entry(_STATUS_LABELS.get(name, name), filled(_status_colour(name))) for name in _SEVERITY if name in statuses
    ]
    return [*entries, Entry("key picture", _key_swatch())]


def _key_swatch() -> np.ndarray:
    swatch = np.full((16, 12, 3), PAPER, np.uint8)
    cv2.fillPoly(swatch, [np.array([[2, 5], [10, 5], [6, 12]], np.int32)], INK, cv2.LINE_AA)
    return swatch


def _status_colour(name: str) -> Colour:
    return STATUSES[AccessUnitStatus[name.upper()]]


def _tick(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50 and so on that is not less than `least`."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= least:
                return step * power
        power *= 10


def _bytes(size: float) -> str:
    for unit, name in ((1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"
