"""The cuts of BSCV's published generator, in its own arithmetic on the hexadecimal digits of the stream.

All places and S count digits, two a byte. With x the first digit of a slice's start code 00 00 01, y that of the next
one and E = (y - x) - 7 - S, the cut takes S digits from floor(x + 7 + E * L) on. x + 7 is the second digit of the NAL
header byte, so L = 0 destroys the header, and a cut that starts at an odd digit joins two halves of bytes into one. A
slice with y - x <= S gives way to the first one of its GOP that is longer (a slice can be hit twice); where none is,
the last slice of the GOP loses the digits from x + 9 up to y, and with them half a byte of the next start code, which
fuses two NAL units. The last GOP is not checked, so its cuts may start before the slice or reach past its end.
Overlapping cuts take their full length: what they share is taken behind them.

Not reproduced, because it depends on chance or on defects and not on P, L and S: the draw without a seed; start codes
found at odd digits, where none are; slices and SPS told by whole header bytes (65, 41, 01, 67), which misses other
values of nal_ref_idc; one IDR picture at the end of the file dropped under a condition; odd S, for which the generator
fails; Python's meaning of a negative start (here a cut is clipped to the stream, to whole bytes).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from b2scvr.bitstream.damage.coded_stream import CodedStream
from b2scvr.bitstream.damage.model import Edit
from b2scvr.bitstream.nal import NalType

_PREFIX_BYTES = 3  # start_code_prefix_one_3bytes
_TO_HEADER_DIGIT = 7  # from x to the second digit of the NAL header byte
_TO_PAYLOAD_DIGIT = 9  # from x to the second digit of the payload


@dataclass(frozen=True)
class _Digits:
    first: int
    end: int


def published_edits(stream: CodedStream, slices_per_gop: int, position: float, digits: int, seed: int) -> list[Edit]:
    """Return the cuts that the published generator makes, with a seeded draw. `digits` is S, even."""
    draw = random.Random(seed)
    gops = _gops(stream)
    cuts = []
    for number, gop in enumerate(gops):
        for chosen in draw.sample(gop, min(slices_per_gop, len(gop))):
            cuts.append(_cut(gop, chosen, position, digits, is_last=number == len(gops) - 1))
    whole = (_clip(cut, 2 * len(stream.data)) for cut in _stack(cuts))
    return [_edit(stream.data, cut) for cut in whole if cut.first < cut.end]


def _gops(stream: CodedStream) -> list[list[_Digits]]:
    """Return the slices of each GOP, as digits [x, y): from an IDR picture up to the next SPS."""
    gops: list[list[_Digits]] = []
    is_open = False
    places = [2 * (unit.payload - _PREFIX_BYTES) for unit in stream.units] + [2 * len(stream.data)]
    for unit, x, y in zip(stream.units, places, places[1:], strict=False):
        if unit.type == NalType.SPS:
            is_open = False
        elif unit.type == NalType.IDR and not is_open:
            gops.append([])
            is_open = True
        if unit.is_slice and is_open:
            gops[-1].append(_Digits(x, y))
    return gops


def _cut(gop: list[_Digits], chosen: _Digits, position: float, digits: int, is_last: bool) -> _Digits:
    if not is_last and chosen.end - chosen.first <= digits:
        longer = [item for item in gop if item.end - item.first > digits]
        if not longer:
            return _Digits(gop[-1].first + _TO_PAYLOAD_DIGIT, gop[-1].end + 1)
        chosen = longer[0]
    room = chosen.end - chosen.first - _TO_HEADER_DIGIT - digits
    first = math.floor(chosen.first + _TO_HEADER_DIGIT + room * position)
    return _Digits(first, first + digits)


def _stack(cuts: list[_Digits]) -> list[_Digits]:
    """Return cuts in ascending order, those that overlap one behind the other."""
    stacked: list[_Digits] = []
    for cut in sorted(cuts, key=lambda cut: cut.first):
        if stacked and cut.first <= stacked[-1].end:
            stacked[-1] = _Digits(stacked[-1].first, stacked[-1].end + cut.end - cut.first)
        else:
            stacked.append(cut)
    return stacked


def _clip(cut: _Digits, size: int) -> _Digits:
    """Return what of a cut lies in the stream; where that is half a byte too little, the whole byte goes."""
    first, end = max(cut.first, 0), min(cut.end, size)
    if (end - first) % 2 and first < end:
        return _Digits(first, end + 1) if first == 0 else _Digits(first - 1, end)
    return _Digits(first, end)


def _edit(data: bytes, cut: _Digits) -> Edit:
    if cut.first % 2 == 0:
        return Edit(cut.first // 2, (cut.end - cut.first) // 2)
    first, last = cut.first // 2, cut.end // 2
    return Edit(first, last - first + 1, bytes([data[first] & 0xF0 | data[last] & 0x0F]))
