"""A video file decoded part by part, so that its length does not matter.

Nothing that is decoded after an IDR picture refers to what was sent before it (H.264 7.4.1.2.4), nor is anything shown
before it that came later: there a stream can be cut, and each part read as a stream of its own. What damaged pictures are
restored from may lie beyond the cuts: a part is read with some pictures on both sides.

    periods          |  0   |  1   |  2   |  3   |  4   |
    first part       [ own    own  ][+]
    second part             (before)[ own    own  ][+]

A stream can be cut at a recovery point as well (recovery_point). If leading pictures follow it, they need the period before: then
that is always read. Its own leading pictures cannot be decoded there: they are of no use, and no harm.

A period too long to be held is cut inside (cuts). The next part then begins with some of the last pictures of the one before,
put in as they were decoded (entries), and those behind them: once as they came, and once as they were repaired. Where nothing
was put into the stream, what the pictures before were restored to comes beside them.

Other codecs are cut at their key pictures (other_codecs), with the period before where leading pictures may follow.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.cuts import Cut, find_cuts
from b2scvr.bitstream.damage_trace import trace_damage
from b2scvr.bitstream.demux import Demuxed
from b2scvr.bitstream.entries import Beginning, Known, begin_behind
from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.other_codecs import key_units, may_be_leading
from b2scvr.bitstream.part import Part
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.reader import decode_units_guarded, demux_guarded
from b2scvr.bitstream.recovery_point import is_recovery_point
from b2scvr.bitstream.reference_lists import read_headers
from b2scvr.bitstream.sent_sets import SentSets
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import AccessUnitStatus, InputError, ParsedClip

PART_PIXELS = 1 << 26  # of the own pictures of a part; a period that has more is a part by itself
PERIOD_PIXELS = 1 << 28  # a period that has more may be cut inside
PICTURES_BEFORE = 4  # shown before a damaged picture: where there are less, the period before is read again
SHORT_BEFORE = 0.25  # of the own pictures: a period as short as that is read at once
LONGEST_BEFORE = 64  # pictures; a longer one is not read
PICTURES_BEHIND = 8  # read behind the own pictures, in decoding order


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
        self._is_h264 = self._demuxed.codec == "h264"
        if self._is_h264:
            self._look_through()
        else:
            self._keys = key_units(self.units, self._demuxed.codec, self._demuxed.keys)

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

    def parts(
        self, most_pixels: int = PART_PIXELS, with_before: bool = False, period_pixels: int | None = None
    ) -> Iterator[Part]:
        """Yield the parts of the file, each with as many whole periods as hold `most_pixels`, at least one.

        with_before: read the period before each of them too, not only where it is short or damaged pictures may need it.
        period_pixels: a period that has more is cut inside, for a caller that sets `Part.recovered` before it asks for the next
        one. None: none is.

        What has no pictures at which decoding can begin is one part, and so is H.264 that changes the size of its pictures. A
        part that turns out not to be apart from the next, because the picture between them is lost, or of which no picture can
        be decoded, goes with the next one. Raises InputError when nothing can be decoded.
        """
        first, entry, uncut = 0, None, 0
        borders, cuts = self._borders(most_pixels, period_pixels)
        for end in [*borders, len(self)]:
            if end in cuts and end < uncut:
                continue
            part = self._part_apart(first, end, with_before, entry)
            if part is None:
                continue
            if not self._is_h264:  # known from the first part on: a picture of another size counts as lost
                self._demuxed.size = part.coded.clip.frames.shape[1:3]
            part.begins_inside, part.ends_inside = first in cuts, end in cuts
            first, entry = end, None
            yield part
            if end in cuts:
                entry = begin_behind(part, cuts[end], end, self._demuxed.extradata, str(self.path))
                if entry is None:  # the rest of the period is read with all that comes before it
                    uncut = min((key for key in self._keys if key > end), default=len(self))
            del part  # its pictures may go before the next ones come

    def _part_apart(self, first: int, end: int, with_before: bool, entry: Beginning | None) -> Part | None:
        """Return the access units `first` to `end` - 1 as a part, None where they do not make one."""
        is_last = end == len(self)
        if entry is not None:
            with suppress(InputError):
                part = self._entered(first, end, entry)
                if is_last or _is_apart(part):
                    return part
            if not is_last:
                return None
        needs_before = self._needs_before(first)
        before = self._start(first, len(self) if needs_before else LONGEST_BEFORE)
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
            start = self._start(first, len(self))
            if start:
                with suppress(InputError):
                    return self._part(first, end, start)
            return self._part(first, end, 0)
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

    def _borders(self, most_pixels: int, period_pixels: int | None) -> tuple[list[int], dict[int, Cut]]:
        """Return the access units at which new parts begin, and for those inside a period the cut that is read from."""
        area, borders, cuts = self._area(), [0], dict[int, Cut]()
        if area is None:
            return [], {}
        for start, following in pairwise([*self._apart(period_pixels is not None), len(self)]):
            joined = self._keys[bisect_right(self._keys, start) : bisect_left(self._keys, following)]
            inside = list[Cut]()
            if period_pixels is not None and (following - start) * area > (most_pixels if joined else period_pixels):
                inside = self._cuts(start, following)
            for key, end in pairwise([start, *([] if inside else joined), following]):
                if (end - borders[-1]) * area > most_pixels and key > borders[-1]:
                    borders.append(key)
            for cut in inside:
                read_from = _last_before(inside, cut.at - PICTURES_BEFORE)
                if read_from is None or read_from.start < borders[-1]:
                    continue
                if (cut.at - borders[-1]) * area >= most_pixels:
                    borders.append(cut.at)
                    cuts[cut.at] = read_from
        return borders[1:], cuts

    def _apart(self, is_cut_inside: bool) -> list[int]:
        """Return the access units at which a period begins.

        is_cut_inside: where leading pictures join one with the period before, both count as one, which is cut.
        """
        return [key for key in dict.fromkeys([0, *self._keys]) if not (is_cut_inside and key in self._led)]

    def _cuts(self, start: int, following: int) -> list[Cut]:
        """Return where the access units `start` to `following` - 1 can be cut."""
        if not self._is_h264 or any(start <= number < following for number in self._demuxed.lead_ins):
            return []
        units = [self._sets_before(start) + self.units[start], *self.units[start + 1 : following]]
        return [Cut(start + cut.at, start + cut.start) for cut in find_cuts(units)]

    def _entered(self, first: int, end: int, before: Beginning) -> Part:
        """Decode the access units `first` to `end` - 1 behind what stands for those before them."""
        stop, count = min(end + PICTURES_BEHIND, len(self)), len(before.sent)
        whole = _cut(self._demuxed, first, stop, b"")
        lead_ins = {count + number: packets for number, packets in whole.lead_ins.items()}
        damaged = {count + number for number in whole.damaged}

        def decoded(units: list[bytes]) -> CodedClip:
            coded = replace(whole, units=units + whole.units, lead_ins=lead_ins, damaged=damaged)
            return decode_units_guarded(coded, self._digest, str(self.path))

        coded = decoded(before.sent)
        repaired = None if before.repaired is None else decoded(before.repaired)
        if before.known is not None:
            _know(coded.clip, before.known)
        elif before.is_doubtful:
            _doubt(coded.clip)
            if repaired is not None:
                _doubt(repaired.clip)
        if repaired is not None:
            _mark_carried(coded.clip, repaired.clip)
        known = None if before.known is None else before.known.restored
        own = slice(count, count + end - first)
        return Part(coded, own, first - count, repaired_before=repaired, restored_before=known)

    def _start(self, first: int, longest: int) -> int:
        """Return where to begin to read for pictures from `first` on: a period earlier, if that has up to `longest` pictures."""
        before = max((key for key in [0, *self._keys] if key < first), default=first)
        return before if first - before <= longest else first

    def _needs_before(self, border: int) -> bool:
        """Whether access units behind a border are shown before it, or no period begins there."""
        return border in self._led or (border > 0 and border not in self._keys)

    @cached_property
    def _led(self) -> set[int]:
        """The key pictures that leading pictures follow."""
        if not self._is_h264:
            periods = pairwise([*self._keys, len(self)])
            return {start for start, end in periods if any(self._may_be_leading(n) for n in range(start + 1, end))}
        found, sent = set[int](), SentSets()
        for start, end in pairwise([*dict.fromkeys([0, *self._keys]), len(self)]):
            units = self.units[start:end]
            if start in self._recovery_points and _has_leading_pictures(
                [sent.without(units[0]) + units[0], *units[1:]]
            ):
                found.add(start)
            for unit in units:
                sent.update(unit)
        return found

    def _may_be_leading(self, number: int) -> bool:
        return may_be_leading(self.units[number], self._demuxed.codec)

    def _area(self) -> int | None:
        """Pixels of a picture; None where that is not told, or changes."""
        if not self._is_h264:
            return self._demuxed.pixels or None
        return math.prod(*self._sizes) if len(self._sizes) == 1 else None

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


def _last_before(cuts: list[Cut], border: int) -> Cut | None:
    """Return the last of the cuts, which are in order, that is not behind a border."""
    number = bisect_right(cuts, border, key=lambda cut: cut.at)
    return cuts[number - 1] if number else None


def _is_apart(part: Part) -> bool:
    """Whether the own pictures are shown without others between them, and the one decoded next is there."""
    clip, own = part.coded.clip, part.own
    if not np.array_equal(np.sort(clip.decode_index[own]), np.arange(own.start, own.stop)):
        return False
    following = np.flatnonzero(clip.decode_index == own.stop)
    return not clip.lost[following].any()


def _know(clip: ParsedClip, known: Known) -> None:
    """Mark the first pictures of a clip as what is known of them, and what depends on these, in place."""
    doubted = clip.status == AccessUnitStatus.DEPENDENT
    doubted[: len(known.is_damaged)] = known.is_damaged
    clip.status[: len(known.is_damaged)] = np.where(
        known.is_damaged, AccessUnitStatus.DEPENDENT, AccessUnitStatus.INTACT
    )
    trace_damage(clip, doubted, list(known.damage_trace))


def _doubt(clip: ParsedClip) -> None:
    """Mark what looks intact as dependent, up to the first key picture behind the first picture, in place."""
    keys = [key for key in np.flatnonzero(clip.is_key) if clip.decode_index[key] > 0]
    doubted = clip.status[: min(keys, default=len(clip))]
    doubted[doubted == AccessUnitStatus.INTACT] = AccessUnitStatus.DEPENDENT


def _mark_carried(clip: ParsedClip, repaired: ParsedClip) -> None:
    """Mark what looks intact, but shows other samples behind repaired pictures, as dependent, in place."""
    for slot in np.flatnonzero(clip.status == AccessUnitStatus.INTACT):
        if not np.array_equal(clip.frames[slot], repaired.frames[slot]):
            clip.status[slot] = AccessUnitStatus.DEPENDENT


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
            orders.append(counter.next(headers[0][0]))
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
