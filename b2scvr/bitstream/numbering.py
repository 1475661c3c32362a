"""What the lost slice header of an access unit must have said: inferred from the access units before and after it.

frame_num counts reference pictures (7.4.3), so the next readable header tells how many of the lost ones were references.
Picture order counts of the frames between two IDR pictures are evenly spaced, so each lost picture belongs into a hole. Into
which one, the stream's other groups of pictures tell: the shortest runs of pictures that are shown together, like a P picture
and the B pictures decoded after it. Where more than one answer is left, none is given.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from b2scvr.bitstream.nal import NalType, scan
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, SliceHeader, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import SpliceError

_I_SLICES_ONLY = 7  # slice_type
_SLIDING_WINDOW, _IDR_MARKING = "0", "00"  # dec_ref_pic_marking without operations (7.3.3.3)
_BY_FRAME_NUM = 2  # pic_order_cnt_type: pictures are shown in the order in which they are decoded
_FRAME_STEP = 2  # between the picture order counts of two frames, unless the stream shows another
_MOST_LOST = 16  # pictures of one IDR period whose places are sought
_MOST_WAYS = 2000  # of putting them there that are tried

_Group = tuple[tuple[int, int], ...]  # of each picture: place in display less place in decoding order, nal_ref_idc
_Place = tuple[_Group, _Group, int]  # of a picture: the group before its own, its own, its number in it


class _AmbiguousError(Exception):
    """More than one numbering is possible, or none; the message says why."""


@dataclass
class _Unit:
    """An access unit: what is known of it, or inferred."""

    index: int  # decoding order
    is_lost: bool
    header: SliceHeader | None  # of one of its slices
    ref_idc_told: int  # nal_ref_idc of its first slice, whose NAL header may have survived; else 0
    idr_told: bool  # its NAL units look like those of an IDR picture
    order: int | None = None  # PicOrderCnt


def infer_headers(units: list[bytes], lost: set[int]) -> tuple[dict[int, SliceHeader], list[str]]:
    """Return the headers of lost access units as far as they can be told, by decode index, and remarks in words.

    units: in decoding order. lost: those that gave no picture; one whose header is readable and fits in with its neighbours
    has nothing to be inferred and is left out. Each header is that of one I slice over the whole frame. Its reference
    marking (8.2.5) is that of all pictures at the same place of the same two groups, else the sliding window. The remarks
    say which cannot be told and why, and where reference marking is a guess.
    """
    sets = ParameterSets()
    found = []
    for index, data in enumerate(units):
        sets.update(data)
        found.append(_read(data, index, index in lost, sets))
    _trust(found, sets)
    remarks: list[str] = []
    for is_lost, run in itertools.groupby(found, key=lambda unit: unit.is_lost):
        members = list(run)
        if is_lost:
            try:
                _number(members, found, sets)
            except _AmbiguousError as error:
                remarks += [f"access unit {unit.index} was lost and is not rebuilt: {error}" for unit in members]
    inferred: dict[int, SliceHeader] = {}
    spacing = _Spacing(found, sets)
    for period in _idr_periods(found):
        missing = [unit for unit in period if unit.is_lost]
        if missing and all(unit.header for unit in period):
            try:
                inferred |= spacing.place(period)
            except _AmbiguousError as error:
                remarks += [f"access unit {unit.index} was lost and is not rebuilt: {error}" for unit in missing]
    return inferred, [*remarks, *spacing.guesses]


def _trust(units: list[_Unit], sets: ParameterSets) -> None:
    """Count lost units whose header fits in with those beside it as not lost; forget the others' headers."""
    for unit, before, after in zip(units, [None, *units[:-1]], [*units[1:], None], strict=True):
        if unit.is_lost and unit.header:
            sps, _ = sets.of_slice(unit.header.pps_id)
            beside = [(before.header, unit.header)] if before and before.header else []
            beside += [(unit.header, after.header)] if after and after.header else []
            if beside and all(_follows(first, second, 1 << sps.log2_max_frame_num) for first, second in beside):
                unit.is_lost = False
            else:
                unit.header = None


def _follows(before: SliceHeader, header: SliceHeader, period: int) -> bool:
    """Whether frame_num of a picture can follow that of the one before it (7.4.3)."""
    if header.is_idr:
        return header.frame_num == 0
    if header.field_pic or before.field_pic:
        return True
    return (header.frame_num - before.reference_frame_num(period)) % period == 1


def _read(data: bytes, index: int, is_lost: bool, sets: ParameterSets) -> _Unit:
    nals = scan(data)
    slices = [nal for nal in nals if nal.is_slice]
    header = None
    for nal in slices:
        try:
            header = parse_slice_header(data[nal.payload : min(nal.end, nal.payload + MAX_HEADER_BYTES)], sets)
        except SpliceError:
            continue  # another slice of the picture may be readable
        break
    # Parameter sets are usually sent again with each IDR picture.
    idr_told = slices[0].type == NalType.IDR if slices else any(nal.type == NalType.SPS for nal in nals)
    return _Unit(index, is_lost, header, slices[0].ref_idc if slices else 0, idr_told)


def _idr_periods(units: list[_Unit]) -> Iterator[list[_Unit]]:
    """Yield the access units from one IDR picture up to the next."""
    period: list[_Unit] = []
    for unit in units:
        if unit.header and unit.header.is_idr and period:
            yield period
            period = []
        period.append(unit)
    yield period


def _number(run: list[_Unit], units: list[_Unit], sets: ParameterSets) -> None:
    """Give each unit of a run of lost ones a header with frame_num, nal_ref_idc and kind; its order is still open.

    Raises _AmbiguousError when they cannot be told.
    """
    start, stop = run[0].index, run[-1].index + 1
    before = units[start - 1].header if start else None
    after = units[stop].header if stop < len(units) else None
    template = before or after
    if template is None or (start and not before) or (stop < len(units) and not after):
        raise _AmbiguousError("no readable header stands beside it")
    if template.field_pic or (after and after.field_pic):
        raise _AmbiguousError("field pictures are not rebuilt (H.264 7.4.3)")
    sps, _ = sets.of_slice(template.pps_id)
    period = 1 << sps.log2_max_frame_num
    following = after if after and not after.is_idr else None
    previous = before.reference_frame_num(period) if before else 0
    idr = _idr_places(run, before, following, period)
    told = [unit.ref_idc_told for unit in run]
    if following:
        first, counted = (max(idr) + 1, 0) if idr else (0, previous)
        told[first:] = _references(told[first:], (following.frame_num - 1 - counted) % period)
    used = {unit.header.idr_pic_id for unit in units if unit.header and unit.header.is_idr}
    for place, unit in enumerate(run):
        is_idr = place in idr
        ref_idc = max(1, told[place]) if is_idr else told[place]
        frame_num = 0 if is_idr else (previous + 1) % period
        unit.header = replace(
            template, nal_ref_idc=ref_idc, is_idr=is_idr, first_mb=0, slice_type=_I_SLICES_ONLY, frame_num=frame_num,
            idr_pic_id=next(n for n in itertools.count() if n not in used) if is_idr else 0, redundant_pic_cnt=0,
            poc_lsb=max(0, -template.delta_poc_bottom), delta_poc=(0, 0),  # an IDR picture counts 0 (8.2.1)
            marking=_IDR_MARKING if is_idr else _SLIDING_WINDOW if ref_idc else "", long_term_reference=False,
            marking_operations=(), num_ref_idx_active=(), list_modifications=(), slice_qp_delta=0,
        )  # fmt: skip
        used |= {unit.header.idr_pic_id} if is_idr else set()
        previous = frame_num if ref_idc else previous


def _idr_places(run: list[_Unit], before: SliceHeader | None, following: SliceHeader | None, period: int) -> list[int]:
    """Return which units of a run must be IDR pictures. Raises _AmbiguousError when nothing fits."""
    told = [place for place, unit in enumerate(run) if unit.idr_told or (place == 0 and not before)]
    if following is None:
        return told
    goes_on = before and (following.frame_num - 1 - before.reference_frame_num(period)) % period <= len(run)
    for places in (told, [] if goes_on or len(run) > 1 else [0]):
        if places and following.frame_num - 1 in range(len(run) - max(places)):
            return places
    if not goes_on:
        raise _AmbiguousError("frame_num goes on as if other pictures were missing too (H.264 7.4.3)")
    return []


def _references(told: list[int], references: int) -> list[int]:
    """Return nal_ref_idc of each unit so that `references` of them are above 0. Raises _AmbiguousError for two ways."""
    if references in (0, len(told)):
        return [max(1, value) if references else 0 for value in told]
    if sum(value > 0 for value in told) != references:
        raise _AmbiguousError(f"{references} of {len(told)} lost pictures were references, and not told which")
    return told


class _Spacing:
    """Where in display order pictures stand: the distance of their counts, and the groups in which they come."""

    def __init__(self, units: list[_Unit], sets: ParameterSets) -> None:
        self._sets = sets
        counter = PocCounter(sets)
        for unit in units:
            if unit.header and (not unit.is_lost or unit.header.is_idr):
                unit.order = counter.next(unit.header)
        periods = list(_idr_periods(units))
        steps = (b - a for period in periods for a, b in itertools.pairwise(_orders(period)))
        self._step = math.gcd(*steps) or _FRAME_STEP
        self._seen: set[_Group] = set()
        self._markings: dict[_Place, set[str]] = defaultdict(set)
        self._has_operations = any(unit.header.marking_operations for unit in units if unit.header)
        self.guesses: list[str] = []
        for period in periods:
            if not any(unit.is_lost for unit in period):
                self._seen |= {group for group, _ in _groups(period)}
                self._note_markings(period)

    def place(self, period: list[_Unit]) -> dict[int, SliceHeader]:
        """Return the headers of a period's lost pictures with their picture order counts; _AmbiguousError when unsure."""
        headers = [unit.header for unit in period if unit.header]
        poc_type = self._sets.of_slice(headers[0].pps_id)[0].poc_type
        if poc_type != _BY_FRAME_NUM:
            if any(header.resets_references for header in headers):
                raise _AmbiguousError("a picture of its IDR period drops all references (H.264 8.2.5.4.5)")
            self._fill_holes(period)
        self._mark(period)
        headers = [unit.header for unit in period if unit.header]
        counter = PocCounter(self._sets)
        inferred = {}
        for unit, header in zip(period, headers, strict=True):
            if unit.is_lost:
                if unit.order is not None:
                    header = self._with_order(header, unit.order, counter)
                inferred[unit.index] = unit.header = header
            count = counter.next(header)
            if unit.order not in (None, count):
                raise _AmbiguousError("its picture order count does not fit in with the others (H.264 8.2.1)")
        return inferred

    def _fill_holes(self, period: list[_Unit]) -> None:
        """Give each lost picture its count, one of those that no other picture has."""
        lost = [unit for unit in period if unit.order is None]
        known = _orders(period)
        if not known or len(lost) > _MOST_LOST:
            raise _AmbiguousError(f"{len(lost)} pictures of one IDR period are lost")
        holes = [count for count in range(known[0], known[-1], self._step) if count not in known]
        if len(holes) > len(lost):
            raise _AmbiguousError(f"{len(holes)} places in display order for {len(lost)} lost pictures")
        holes += [known[-1] + self._step * (1 + n) for n in range(len(lost) - len(holes))]
        ways = [tuple(holes)] if len(lost) <= 1 else list(self._ways(period, lost, holes))
        if len(ways) != 1:
            raise _AmbiguousError(f"{len(lost)} pictures of one IDR period are lost, and their order is not told")
        _set_orders(lost, ways[0])
        self._seen |= {group for group, _ in _groups(period)}

    def _ways(self, period: list[_Unit], lost: list[_Unit], holes: list[int]) -> Iterator[tuple[int, ...]]:
        """Yield each way of giving the lost pictures the counts `holes` in which they come in groups as seen elsewhere."""
        for number, way in enumerate(itertools.permutations(holes)):
            if number == _MOST_WAYS:
                raise _AmbiguousError(f"{len(lost)} pictures of one IDR period are lost")
            _set_orders(lost, way)
            groups = list(_groups(period))
            seen = self._seen | {group for group, run in groups if not any(unit.is_lost for unit in run)}
            if all(group in seen for group, _ in groups):
                yield way
        _set_orders(lost, [None] * len(lost))

    def _note_markings(self, period: list[_Unit]) -> None:
        """Remember what the pictures of a period, but for lost ones, say of reference marking."""
        for place, unit in _places(period):
            if unit.header and not unit.is_lost:
                self._markings[place].add(unit.header.marking)

    def _mark(self, period: list[_Unit]) -> None:
        """Give each lost reference picture the marking of pictures like it, where they all have the same."""
        self._note_markings(period)
        for place, unit in _places(period):
            if not (unit.is_lost and unit.header and unit.header.nal_ref_idc) or unit.header.is_idr:
                continue
            known = self._markings.get(place, set())
            if len(known) == 1:
                unit.header = replace(unit.header, marking=next(iter(known)))
            elif self._has_operations:
                self.guesses.append(
                    f"access unit {unit.index} was lost and is rebuilt without the reference marking operations that it "
                    "may have sent (H.264 8.2.5.4): up to the next IDR picture others may be predicted from wrong ones"
                )

    def _with_order(self, header: SliceHeader, order: int, counter: PocCounter) -> SliceHeader:
        """Return the header with the fields that make its picture order count `order` (8.2.1.1, 8.2.1.2)."""
        sps, _ = self._sets.of_slice(header.pps_id)
        missing = order - copy.copy(counter).next(header)
        if sps.poc_type == 0:
            return replace(header, poc_lsb=(header.poc_lsb + missing) % (1 << sps.log2_max_poc_lsb))
        return header if sps.delta_pic_order_always_zero else replace(header, delta_poc=(missing, 0))


def _orders(period: list[_Unit]) -> list[int]:
    return sorted(unit.order for unit in period if unit.order is not None)


def _set_orders(units: list[_Unit], orders: Sequence[int | None]) -> None:
    for unit, order in zip(units, orders, strict=True):
        unit.order = order


def _groups(period: list[_Unit]) -> Iterator[tuple[_Group, list[_Unit]]]:
    """Yield the shortest runs of pictures, in decoding order, that are shown together."""
    shown = {order: place for place, order in enumerate(_orders(period))}
    moved = [0 if unit.order is None else shown[unit.order] - place for place, unit in enumerate(period)]
    start, reach = 0, 0
    for place, distance in enumerate(moved):
        reach = max(reach, place + distance)
        if reach == place:
            run = period[start : place + 1]
            yield (
                tuple((by, u.header.nal_ref_idc if u.header else 0) for by, u in zip(moved[start:], run, strict=False)),
                run,
            )
            start = place + 1


def _places(period: list[_Unit]) -> Iterator[tuple[_Place, _Unit]]:
    """Yield each picture with its place: the group before its own, its own, and its number in it."""
    before: _Group = ()
    for group, run in _groups(period):
        for number, unit in enumerate(run):
            yield (before, group, number), unit
        before = group
