"""Which pictures a slice may predict from: reference marking and reference lists of H.264 frames (8.2.4, 8.2.5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from b2scvr.bitstream.nal import NalType, NalUnit, scan
from b2scvr.bitstream.picture_order import PocCounter
from b2scvr.bitstream.recovery_point import is_recovery_point
from b2scvr.bitstream.reference_doubts import Doubts
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, SliceHeader, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets, Sps
from b2scvr.types import MISSING_REFERENCE, SpliceError

_B = 1  # slice_type modulo 5, table 7-6
_FRAME_STEP = 2  # between the picture order counts of two frames, as most encoders count
_LONG_AGO = -(1 << 16)  # PicOrderCnt of what libavcodec makes up before the first picture: all others are shown later
_Headers = list[tuple[SliceHeader, NalUnit]]


@dataclass(frozen=True)
class SliceReferences:
    """The reference lists of one slice: behind each ref_idx the decode index of a picture, or MISSING_REFERENCE."""

    header: SliceHeader
    lists: tuple[tuple[int, ...], ...]  # none of an I slice, or where they are unknown
    uncertain: bool = False  # a reference picture was lost that the slice may reach: the encoder may have meant others


@dataclass(frozen=True)
class _Held:
    """A reference picture in the decoded picture buffer."""

    picture: int  # decode index, or MISSING_REFERENCE
    frame_num: int
    order: int  # PicOrderCnt
    long_term_index: int | None = None  # LongTermFrameIdx
    made_up: bool = False  # it never arrived


@dataclass
class _Buffer:
    """The reference pictures held, the latest last."""

    held: list[_Held] = field(default_factory=list)
    previous_frame_num: int = -1  # PrevRefFrameNum, -1: nothing was decoded yet
    doubts: Doubts = field(default_factory=Doubts)
    slid: int = 0  # reference pictures in a row for which the oldest made room; where what is held is not followed

    def short(self) -> list[_Held]:
        return [h for h in self.held if h.long_term_index is None]

    def long(self) -> list[_Held]:
        return sorted((h for h in self.held if h.long_term_index is not None), key=lambda h: h.long_term_index or 0)


def slice_references(units: list[bytes]) -> list[list[SliceReferences]]:
    """Return, for each access unit (decoding order), the reference lists of its readable slices.

    An access unit whose header cannot be read, or is garbage, has none; where frame_num shows that a picture is missing
    (7.4.3), an entry of it stands in the lists: the access unit that was lost there, or MISSING_REFERENCE. Lists are those
    of frames: those of field pictures and of MBAFF frames are not told. Doubts end at an IDR picture, and for what is shown
    from a recovery point on (recovery_point).
    """
    sets, buffer = ParameterSets(), _Buffer()
    counter, doubts = PocCounter(sets), buffer.doubts
    lost: list[int] = []
    found: list[list[SliceReferences]] = [[] for _ in units]
    for index, (unit, headers, following) in enumerate(zip(units, *read_headers(units), strict=True)):
        sets.update(unit)
        doubts.misled |= _may_mislead(unit, headers)
        if not headers:
            lost.append(index)
            continue
        if is_garbage(headers[0][0], following, buffer.previous_frame_num, sets):
            lost.append(index)
            found[index] = [_unknown(h) for h, _ in headers]
            doubts.mislead(h for h, _ in headers)
            continue
        header = headers[0][0]
        sps, _ = sets.of_slice(header.pps_id)
        order, is_first = counter.next(header), buffer.previous_frame_num < 0
        if sps.frame_mbs_only:
            _fill_gap(buffer, header, sps, lost)
            lost = []
        else:
            _note_gap(buffer, header, sps)
        if is_recovery_point(unit) and order not in doubts.orders:
            doubts.begin_anew(index, order, is_first)
            buffer.slid = 0
        if not sps.frame_mbs_only:
            found[index] = _without_lists(buffer, [h for h, _ in headers], order, sps)
            continue
        doubts.note_order(header, order)
        doubts.misled |= _repeats_frame_num(buffer, header)
        found[index] = [_references(buffer, h, order, sps) for h, _ in headers]
        if header.nal_ref_idc:
            _mark(buffer, header, _Held(index, header.frame_num, order), sps)
    return found


def read_headers(units: list[bytes]) -> tuple[list[_Headers], list[SliceHeader | None]]:
    """Return the readable slice headers of each access unit, and the next one behind each."""
    sets = ParameterSets()
    found = []
    for unit in units:
        sets.update(unit)
        found.append(_readable_headers(unit, sets))
    following = list[SliceHeader | None]()
    later = None
    for headers in reversed(found):
        following.append(later)
        later = headers[0][0] if headers else later
    return found, following[::-1]


def is_garbage(header: SliceHeader, following: SliceHeader | None, previous: int, sets: ParameterSets) -> bool:
    """Whether a header jumps ahead in frame_num although the picture after it goes on from the one before.

    Or is that of an IDR picture that none has (7.4.1, 7.4.3): not a reference, frame_num other than 0, or predicted.
    previous: PrevRefFrameNum, -1 where it is not known.
    """
    if header.is_idr:
        return not header.nal_ref_idc or header.frame_num != 0 or bool(header.num_ref_idx_active)
    if following is None or following.is_idr:
        return False
    period = 1 << sets.of_slice(header.pps_id)[0].log2_max_frame_num
    if previous < 0 and (following.frame_num - header.frame_num) % period <= 1:
        return False
    here, there = ((h.frame_num - max(previous, 0)) % period for h in (header, following))
    return here > 1 and there < here


def _may_mislead(unit: bytes, headers: _Headers) -> bool:
    """Whether a decoder may believe a slice of the access unit whose header is unreadable.

    It drops its references at an IDR slice before it reads on, and begins a picture with what its first slice seems to say.
    """
    slices = [nal for nal in scan(unit) if nal.is_slice]
    if any(nal.type == NalType.IDR for nal in slices) and not (headers and headers[0][0].is_idr):
        return True
    return bool(headers) and slices[0] != headers[0][1]


def _readable_headers(unit: bytes, sets: ParameterSets) -> _Headers:
    """The readable slice headers of the primary picture in an access unit, with their NAL units."""
    out = []
    for nal in scan(unit):
        if not nal.is_slice:
            continue
        try:
            header = parse_slice_header(unit[nal.payload : min(nal.end, nal.payload + MAX_HEADER_BYTES)], sets)
        except SpliceError:
            continue  # what cannot be read refers to nothing
        if header.redundant_pic_cnt == 0:
            out.append((header, nal))
    return out


def _fill_gap(buffer: _Buffer, header: SliceHeader, sps: Sps, lost: list[int]) -> None:
    """Put in the frames that frame_num says were never decoded (8.2.5.2), as a decoder does too."""
    if header.is_idr:
        return
    period = 1 << sps.log2_max_frame_num
    before, missing = buffer.previous_frame_num, _missing(buffer, header, period)
    if missing > sps.max_num_ref_frames:  # only the last ones can still be referred to
        lost = []
    for number in range(max(0, missing - sps.max_num_ref_frames), missing):
        frame_num = (before + 1 + number) % period
        picture = lost[number] if number < len(lost) else MISSING_REFERENCE
        latest = buffer.short()[-1:]
        _slide(buffer, frame_num, sps)
        # libavcodec counts the order of a frame that it makes up on from the one before.
        order = latest[0].order + _FRAME_STEP if latest else _LONG_AGO
        buffer.held.append(_Held(picture, frame_num, order, made_up=True))
        buffer.doubts.incomplete = True


def _repeats_frame_num(buffer: _Buffer, header: SliceHeader) -> bool:
    """Whether a reference frame has the number of the one before, which no two have (7.4.3): one of them is out of place."""
    return bool(header.nal_ref_idc) and not header.is_idr and header.frame_num == buffer.previous_frame_num


def _note_gap(buffer: _Buffer, header: SliceHeader, sps: Sps) -> None:
    """As _fill_gap, where what is held is not followed."""
    if header.is_idr:
        buffer.doubts.forget()
        return
    buffer.doubts.incomplete |= _missing(buffer, header, 1 << sps.log2_max_frame_num) > 0


def _missing(buffer: _Buffer, header: SliceHeader, period: int) -> int:
    """How many reference pictures were not decoded, by frame_num (7.4.3); of those before the stream all that there can be."""
    if buffer.previous_frame_num < 0:
        return header.frame_num
    gap = (header.frame_num - buffer.previous_frame_num) % period
    return gap - 1 if gap else 0


def _without_lists(buffer: _Buffer, headers: list[SliceHeader], order: int, sps: Sps) -> list[SliceReferences]:
    """Slices of fields and MBAFF frames: no lists, but whether a picture is missing from them or a header misled."""
    header, doubts = headers[0], buffer.doubts
    is_rootless = doubts.is_rootless(order)
    doubtful = doubts.lacks_pictures(order) or doubts.holds_others(order)
    if header.nal_ref_idc:
        buffer.previous_frame_num = 0 if header.resets_references else header.frame_num
        buffer.slid = 0 if any(h.marking_operations for h in headers) else buffer.slid + 1
        if doubts.start is not None and buffer.slid > sps.max_num_ref_frames:
            doubts.made_room()
    if header.resets_references:
        doubts.forget()
    if is_rootless:
        return [_unknown(h) for h in headers]
    return [SliceReferences(h, (), doubtful and bool(h.num_ref_idx_active)) for h in headers]


def _unknown(header: SliceHeader) -> SliceReferences:
    """The lists of a slice whose references are anyone's guess."""
    return SliceReferences(
        header,
        tuple((MISSING_REFERENCE,) * count for count in header.num_ref_idx_active),
        bool(header.num_ref_idx_active),
    )


def _references(buffer: _Buffer, header: SliceHeader, order: int, sps: Sps) -> SliceReferences:
    if not header.num_ref_idx_active:
        return SliceReferences(header, ())
    lists, out_of_place, doubts = [], False, buffer.doubts
    for number, initial in enumerate(_initial_lists(buffer, header, order, sps)):
        told = initial[: header.num_ref_idx_active[number]]
        out_of_place |= not doubts.leads(order) and _is_shifted(told, doubts.start)
        entries = _modified(buffer, initial, header, number, sps)
        lists.append(tuple(entry.picture if entry else MISSING_REFERENCE for entry in entries))
    several = any(len(set(entries)) > 1 or MISSING_REFERENCE in entries for entries in lists)
    uncertain = doubts.holds_others(order) or (several and (doubts.lacks_pictures(order) or out_of_place))
    return SliceReferences(header, tuple(lists), uncertain)


def _initial_lists(buffer: _Buffer, header: SliceHeader, order: int, sps: Sps) -> list[list[_Held]]:
    """Lists before modification: by PicNum for P (8.2.4.2.1), by picture order for B (8.2.4.2.3)."""
    short, long = buffer.short(), buffer.long()
    if header.kind != _B:
        return [sorted(short, key=lambda h: _wrapped(h, header, sps), reverse=True) + long]
    before = sorted((h for h in short if h.order <= order), key=lambda h: -h.order)
    after = sorted((h for h in short if h.order > order), key=lambda h: h.order)
    first, second = before + after + long, after + before + long
    if len(second) > 1 and first == second:
        second[:2] = second[1::-1]
    return [first, second]


def _is_shifted(initial: list[_Held], start: int | None) -> bool:
    """Whether a made-up picture from before a recovery point, decode index `start`, stands before one from behind it."""
    made_up = [
        place for place, held in enumerate(initial) if held.made_up and start is not None and held.picture < start
    ]
    return start is not None and bool(made_up) and any(held.picture >= start for held in initial[made_up[0] :])


def _wrapped(held: _Held, header: SliceHeader, sps: Sps) -> int:
    """FrameNumWrap, which is PicNum for frames (equations 8-27, 8-28)."""
    return held.frame_num - ((1 << sps.log2_max_frame_num) if held.frame_num > header.frame_num else 0)


def _modified(buffer: _Buffer, initial: list[_Held], header: SliceHeader, number: int, sps: Sps) -> list[_Held | None]:
    """Apply the modifications of one list (8.2.4.3): each moves a picture to the next place."""
    length = header.num_ref_idx_active[number]
    entries: list[_Held | None] = [*initial[:length], *[None] * (length - len(initial))]
    period = 1 << sps.log2_max_frame_num
    predicted = header.frame_num
    for place, (operation, value) in enumerate(header.list_modifications[number][:length]):
        chosen: _Held | None
        if operation in (0, 1):
            predicted = (predicted + (value + 1) * (1 if operation else -1)) % period
            chosen = next((h for h in buffer.short() if h.frame_num == predicted), None)
        else:
            chosen = next((h for h in buffer.long() if h.long_term_index == value), None)
        rest = [entry for entry in entries[place:] if entry is None or entry is not chosen]
        entries = [*entries[:place], chosen, *rest][:length]
    return entries


def _mark(buffer: _Buffer, header: SliceHeader, current: _Held, sps: Sps) -> None:
    """Decoded reference picture marking (8.2.5)."""
    buffer.previous_frame_num = header.frame_num
    if header.is_idr:
        buffer.held = [replace(current, long_term_index=0 if header.long_term_reference else None)]
        buffer.doubts.forget()
        return
    if header.marking_operations:
        for operation in header.marking_operations:
            current = _apply(buffer, operation, current, header, sps)
        if header.resets_references:
            buffer.previous_frame_num = 0
    else:
        _slide(buffer, header.frame_num, sps)
    buffer.held.append(current)
    start, is_full = buffer.doubts.start, len(buffer.held) >= max(1, sps.max_num_ref_frames)
    if start is not None and is_full and all(h.picture >= start for h in buffer.held):
        buffer.doubts.made_room()


def _slide(buffer: _Buffer, frame_num: int, sps: Sps) -> None:
    """Sliding window (8.2.5.3): the oldest short-term picture makes room."""
    short = buffer.short()
    if short and len(buffer.held) >= max(1, sps.max_num_ref_frames):
        period = 1 << sps.log2_max_frame_num
        buffer.held.remove(min(short, key=lambda h: h.frame_num - (period if h.frame_num > frame_num else 0)))
    buffer.previous_frame_num = frame_num


def _apply(buffer: _Buffer, operation: tuple[int, ...], current: _Held, header: SliceHeader, sps: Sps) -> _Held:
    """One memory management control operation (8.2.5.4); return the current picture as it is then held."""
    kind, *numbers = operation
    if kind in (1, 3):
        wanted = (header.frame_num - numbers[0] - 1) % (1 << sps.log2_max_frame_num)  # picNumX
        picture = next((h for h in buffer.short() if h.frame_num == wanted), None)
        if picture:
            buffer.held.remove(picture)
            if kind == 3:
                _free(buffer, numbers[1])
                buffer.held.append(replace(picture, long_term_index=numbers[1]))
    elif kind == 2:
        _free(buffer, numbers[0])
    elif kind == 4:
        buffer.held = [h for h in buffer.held if h.long_term_index is None or h.long_term_index < numbers[0]]
    elif kind == 5:
        buffer.held = []
        buffer.doubts.forget()
        return replace(current, frame_num=0, order=0)
    elif kind == 6:
        _free(buffer, numbers[0])
        return replace(current, long_term_index=numbers[0])
    return current


def _free(buffer: _Buffer, long_term_index: int) -> None:
    buffer.held = [h for h in buffer.held if h.long_term_index != long_term_index]
