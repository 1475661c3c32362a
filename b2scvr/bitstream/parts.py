"""A video file decoded part by part, so that its length does not matter.

Nothing that is decoded after an IDR picture refers to what was sent before it (H.264 7.4.1.2.4), nor is anything shown
before it that came later: there a stream can be cut, and each part read as a stream of its own. What damaged pictures are
restored from may lie beyond the cuts: a part is read with some pictures on both sides.

    periods          |  0   |  1   |  2   |  3   |  4   |
    first part       [ own    own  ][+]
    second part             (before)[ own    own  ][+]

A stream can be cut at a recovery point as well (recovery_point). If leading pictures follow it, they need the period before: then
that is always read. Its own leading pictures cannot be decoded there: they are of no use, and no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np

from b2scvr.bitstream.access_units import split_access_units
from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.demux import Demuxed
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.reader import decode_units_guarded, demux_guarded
from b2scvr.bitstream.recovery_point import is_recovery_point
from b2scvr.bitstream.reference_lists import read_headers
from b2scvr.bitstream.sent_sets import SentSets
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import AccessUnitStatus, InputError

PART_PIXELS = 1 << 26  # of the own pictures of a part; a period that has more is a part by itself
PICTURES_BEFORE = 4  # shown before a damaged picture: where there are less, the period before is read again
SHORT_BEFORE = 0.25  # of the own pictures: a period as short as that is read at once
LONGEST_BEFORE = 64  # pictures; a longer one is not read
PICTURES_BEHIND = 8  # read behind the own pictures, in decoding order


@dataclass(frozen=True)
class Part:
    """Some pictures of a file, read together with those around them."""

    coded: CodedClip
    own: slice  # of display indices in `coded.clip`: the pictures that the part is about
    start: int  # display index in the file, and number in decoding order, of the first picture of `coded`
    given_sets: bytes = b""  # parameter sets that were put before the first access unit

    def __len__(self) -> int:
        return self.own.stop - self.own.start

    @property
    def first(self) -> int:
        """Display index in the file of the first own picture."""
        return self.start + self.own.start

    def take(self, values: np.ndarray) -> np.ndarray:
        """Return those of the own pictures, as a view, from an array that has one for each picture of `coded`."""
        return values[self.own]

    @property
    def is_damaged(self) -> bool:
        """Whether any of the own pictures is damaged."""
        return bool((self.take(self.coded.clip.status) != AccessUnitStatus.INTACT).any())

    @property
    def numbers(self) -> np.ndarray:
        """Display indices in the file of the own pictures, int [N]."""
        return self.first + np.arange(len(self))

    @property
    def units(self) -> np.ndarray:
        """Numbers in the file, in decoding order, of the own pictures' access units, int [N] in display order."""
        return self.start + self.take(self.coded.clip.decode_index)

    def own_stream(self, stream: bytes | None = None, added: Collection[int] = ()) -> bytes:
        """Return what belongs to the own pictures of a stream that `coded` was repaired to; None stands for `coded` itself.

        added: display indices in `stream` of pictures that `coded` does not hold. The last part of a file has what stands
        behind its last picture, too.
        """
        units, suffix = self.coded.access_units, self.coded.suffix
        if stream is not None:
            units, suffix = split_access_units(stream)
        first, end = (_moved(border, added) for border in (self.own.start, self.own.stop))
        own = b"".join(units[first:end]) + (suffix if end == len(units) else b"")
        return own if first else own.removeprefix(self.given_sets)


class CodedFile:
    """A video file taken apart into access units, which are decoded when they are asked for, in guarded child processes.

    Raises InputError, one line that names the file and the reason, when it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._demuxed, self._digest = demux_guarded(self.path)
        self._sizes: set[tuple[int, int]] = set()  # (height, width) of pictures, as the parameter sets tell
        self._senders: list[int] = []  # access units that parameter sets come with
        self._keys: list[int] = []  # access units at which a period begins
        self._recovery_points: set[int] = set()  # those of them that are no IDR pictures
        if self._demuxed.codec == "h264":
            self._look_through()

    def __len__(self) -> int:
        """Number of access units, which is that of the pictures."""
        return len(self.units)

    @property
    def units(self) -> list[bytes]:
        """The access units in decoding order."""
        return self._demuxed.units

    def whole(self) -> Part:
        """Return the file as one part. Raises InputError when it cannot be decoded."""
        return self._part(0, len(self), 0)

    def parts(self, most_pixels: int = PART_PIXELS, with_before: bool = False) -> Iterator[Part]:
        """Yield the parts of the file, each with as many whole periods as hold `most_pixels`, at least one.

        with_before: read the period before each of them too, not only where it is short or damaged pictures may need it.

        What has neither IDR pictures nor recovery points, is no H.264 or changes the size of its pictures is one part. A part
        that turns out not to be apart from the next, because the picture between them is lost, or of which no picture can be
        decoded, goes with the next one. Raises InputError when nothing can be decoded.
        """
        first = 0
        for end in [*self._borders(most_pixels), len(self)]:
            part = self._part_apart(first, end, with_before)
            if part is not None:
                first = end
                yield part
                del part  # its pictures may go before the next ones come

    def _part_apart(self, first: int, end: int, with_before: bool) -> Part | None:
        """Return the access units `first` to `end` - 1 as a part, None where they do not make one."""
        needs_before = self._needs_before(first)
        is_last, before = end == len(self), self._start(first, len(self) if needs_before else LONGEST_BEFORE)
        found: Part | None = None
        at_once = with_before or first - before <= (end - first) * SHORT_BEFORE
        starts = (before, first) if at_once else (first, before)
        for start in [before] if needs_before else dict.fromkeys(starts):
            if found is not None and not _looks_back(found):
                break
            with suppress(InputError):
                part = self._part(first, end, start)
                found = part if (is_last and start == first) or _is_apart(part) else found
        if found is None and is_last:
            return self._part(first, end, self._start(first, len(self)))
        return found

    def _look_through(self) -> None:
        sets = ParameterSets()
        for number, unit in enumerate(self.units):
            nals = scan(unit)
            if any(nal.type in (NalType.SPS, NalType.PPS) for nal in nals):
                self._senders.append(number)
                sets.update(unit)
                self._sizes |= {sps.size for sps in sets.sps.values()}
            if is_recovery_point(unit):
                self._recovery_points.add(number)
            if number in self._recovery_points or any(nal.type == NalType.IDR for nal in nals):
                self._keys.append(number)

    def _borders(self, most_pixels: int) -> list[int]:
        """Return the access units at which new parts begin."""
        if len(self._sizes) != 1:
            return []
        [(height, width)] = self._sizes
        borders = [0]
        for key, following in pairwise([*self._keys, len(self)]):
            if (following - borders[-1]) * height * width > most_pixels and key > borders[-1]:
                borders.append(key)
        return borders[1:]

    def _start(self, first: int, longest: int) -> int:
        """Return where to begin to read for pictures from `first` on: a period earlier, if that has up to `longest` pictures."""
        before = max((key for key in [0, *self._keys] if key < first), default=first)
        return before if first - before <= longest else first

    def _needs_before(self, key: int) -> bool:
        """Whether access units behind a recovery point are shown before it."""
        if key not in self._recovery_points:
            return False
        end = min((other for other in self._keys if other > key), default=len(self))
        return _has_leading_pictures([self._sets_before(key) + self.units[key], *self.units[key + 1 : end]])

    def _part(self, first: int, end: int, start: int) -> Part:
        """Decode the access units `first` to `end` - 1, those from `start` on before them, and some behind."""
        stop = min(end + PICTURES_BEHIND, len(self))
        sets = self._sets_before(start)
        coded = decode_units_guarded(_cut(self._demuxed, start, stop, sets), self._digest, str(self.path))
        return Part(coded, slice(first - start, end - start), start, sets)

    def _sets_before(self, start: int) -> bytes:
        """Return the parameter sets that were sent before access unit `start` and not again with it, the latest last."""
        sent = SentSets()
        for number in takewhile(lambda number: number < start, self._senders):
            sent.update(self.units[number])
        return sent.without(self.units[start])


def _is_apart(part: Part) -> bool:
    """Whether the own pictures are shown without others between them, and the one decoded next is there."""
    clip, own = part.coded.clip, part.own
    if not np.array_equal(np.sort(clip.decode_index[own]), np.arange(own.start, own.stop)):
        return False
    following = np.flatnonzero(clip.decode_index == own.stop)
    return not clip.lost[following].any()


def _looks_back(part: Part) -> bool:
    """Whether own pictures may need some that are shown before the first of them, and were not read."""
    damaged = np.flatnonzero(part.take(part.coded.clip.status) != AccessUnitStatus.INTACT)
    return part.own.start == 0 < part.first and len(damaged) > 0 and damaged[0] < PICTURES_BEFORE


def _has_leading_pictures(units: list[bytes]) -> bool:
    """Whether any of the access units from a recovery point on is shown before it; an unreadable header tells nothing."""
    sets = ParameterSets()
    counter, orders = PocCounter(sets), list[int]()
    for unit, headers in zip(units, read_headers(units)[0], strict=True):
        sets.update(unit)
        if headers:
            orders.append(counter.next(*headers[0]))
    return bool(orders) and min(orders) < orders[0]


def _cut(whole: Demuxed, start: int, stop: int, sets: bytes) -> Demuxed:
    """Return what `whole` holds of the access units `start` to `stop` - 1, with parameter sets before the first."""
    units = whole.units[start:stop]
    return replace(
        whole,
        units=[sets + units[0], *units[1:]],
        lead_ins={number - start: found for number, found in whole.lead_ins.items() if start <= number < stop},
        damaged={number - start for number in whole.damaged if start <= number < stop},
        suffix=whole.suffix if stop == len(whole.units) else b"",
    )


def _moved(border: int, added: Collection[int]) -> int:
    """Return where in a stream with `added` pictures a border is that has `border` pictures before it which are not added.

    A picture that was added right at a border belongs before it: behind it is an IDR picture, which is there.
    """
    if border:
        for place in sorted(added):
            border += place <= border
    return border
