"""BSCV's damage model (P, L, S), byte-accurate: bytes cut out of the payload of some slices of each GOP.

P slices are drawn in each GOP; of each, S bytes are removed at the relative position L of its payload. Unlike the
published generator, which works on hexadecimal text, a cut never touches a start code, a NAL header or a slice header,
and never reaches into the next NAL unit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from b2scvr.bitstream.nal import NalType, NalUnit, escaped_length, scan, starts_picture
from b2scvr.bitstream.syntax import MAX_HEADER_BYTES, ParameterSets, parse_slice_header
from b2scvr.types import SpliceError

_UNPARSED_HEADER_BYTES = 32  # left alone in slices whose header cannot be read (more than x264's longest)
_ESCAPED = b"\x00\x00\x03"
_SEAM = 2  # bytes on each side of a seam that can make up an emulated code (00 00 0x)


@dataclass(frozen=True)
class CutModel:
    """P, L and S of BSCV. `gop` counts pictures; a GOP also ends at the next IDR picture."""

    slices_per_gop: int = 1  # P
    gop: int = 16
    position: float = 0.4  # L, in [0, 1]
    length: int = 2048  # S, in bytes; in hexadecimal digits with legacy_nibbles
    seed: int = 0
    legacy_nibbles: bool = False  # count S as the published generator does

    @property
    def length_bytes(self) -> int:
        """The wished length of a cut in bytes."""
        return self.length // 2 if self.legacy_nibbles else self.length

    def validate(self) -> CutModel:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        if self.slices_per_gop < 0 or self.gop < 1:
            raise ValueError(f"slices_per_gop {self.slices_per_gop} must be >= 0 and gop {self.gop} >= 1")
        if not 0 <= self.position <= 1:
            raise ValueError(f"position {self.position} must lie in [0, 1]")
        if self.length < 1 or (self.legacy_nibbles and self.length % 2):
            raise ValueError(f"length {self.length} must be positive, and even when it counts hexadecimal digits")
        return self

    def as_dict(self) -> dict[str, object]:
        """The parameters by name, for a manifest."""
        return asdict(self)


# Published branches by name: P, 10 L and S in hexadecimal digits (two a byte).
BRANCHES: dict[str, CutModel] = {
    "144096": CutModel(1, position=0.4, length=2048),
    "124096": CutModel(1, position=0.2, length=2048),
    "142048": CutModel(1, position=0.4, length=1024),
    "244096": CutModel(2, position=0.4, length=2048),
    "148192": CutModel(1, position=0.4, length=4096),
    "184096": CutModel(1, position=0.8, length=2048),
    "444096": CutModel(4, position=0.4, length=2048),
}


@dataclass(frozen=True)
class Cut:
    """One cut that was made."""

    access_unit: int  # number of the picture in the file (decoding order), from 0
    slice: int  # number of the slice in the file, from 0
    offset: int  # first removed byte, in the undamaged file
    length: int  # removed bytes


@dataclass(frozen=True)
class _Slice:
    unit: NalUnit
    access_unit: int
    number: int
    header_end: int  # first byte of the file behind the slice header


def damage(data: bytes, model: CutModel) -> tuple[bytes, list[Cut]]:
    """Return the damaged copy of an H.264 Annex-B stream and the cuts, in file order.

    A cut starts at payload start + L * (payload length - S), moved behind the slice header if need be. A slice with no
    more than S bytes behind its header loses half of them. A seam that would put together a start code or an emulation
    prevention byte (00 00 0x, x <= 3) moves the whole cut by the fewest bytes that avoid it, so that the damaged slice
    stays one NAL unit whose RBSP is the old one less the cut. Raises ValueError where no H.264 slice is found.
    """
    model.validate()
    slices = _slices(data)
    if not slices:
        raise ValueError("no H.264 slice found: is this an Annex-B elementary stream?")
    draw = random.Random(model.seed)
    cuts: list[Cut] = []
    for run in _gops(slices, model.gop):
        for chosen in draw.sample(run, min(model.slices_per_gop, len(run))):
            offset, length = _place(data, chosen, model)
            if length:
                cuts.append(Cut(chosen.access_unit, chosen.number, offset, length))
    cuts.sort(key=lambda cut: cut.offset)
    return _remove(data, cuts), cuts


def branch(name: str, seed: int = 0) -> CutModel:
    """Return a published branch by name; ValueError lists the known ones."""
    if name not in BRANCHES:
        raise ValueError(f"unknown branch {name!r}: known are {', '.join(BRANCHES)}")
    return replace(BRANCHES[name], seed=seed)


def _slices(data: bytes) -> list[_Slice]:
    found: list[_Slice] = []
    sets = ParameterSets()
    access_unit = -1
    for unit in scan(data):
        if unit.is_slice:
            access_unit += starts_picture(data, unit) or access_unit < 0
            found.append(_Slice(unit, access_unit, len(found), _header_end(data, unit, sets)))
        else:
            sets.update(data[unit.start : unit.end])
    return found


def _header_end(data: bytes, unit: NalUnit, sets: ParameterSets) -> int:
    head = data[unit.payload : min(unit.end, unit.payload + MAX_HEADER_BYTES)]
    try:
        bits = parse_slice_header(head, sets).header_bits
    except SpliceError:
        return min(unit.end, unit.payload + _UNPARSED_HEADER_BYTES)
    return unit.payload + escaped_length(head, 1 + -(-bits // 8))


def _gops(slices: list[_Slice], gop: int) -> Iterator[list[_Slice]]:
    """Yield the slices of each GOP: from an IDR picture, or `gop` pictures after the last start."""
    run: list[_Slice] = []
    for item in slices:
        if run and item.access_unit != run[-1].access_unit:
            full = item.access_unit - run[0].access_unit >= gop
            if full or item.unit.type == NalType.IDR:
                yield run
                run = []
        run.append(item)
    if run:
        yield run


def _place(data: bytes, item: _Slice, model: CutModel) -> tuple[int, int]:
    """Return offset and length of the cut in one slice; length 0 where nothing can be cut."""
    body, end = item.unit.payload + 1, item.unit.end
    room = end - item.header_end
    length = model.length_bytes if model.length_bytes < room else room // 2
    while length > 0:
        wish = max(item.header_end, body + int(model.position * (end - body - length)))
        last = end - length
        for step in range(last - item.header_end + 1):
            for offset in (wish + step, wish - step):
                if item.header_end <= offset <= last and not _joins_a_code(data, offset, length, item.unit):
                    return offset, length
        length -= 1
    return item.header_end, 0


def _joins_a_code(data: bytes, offset: int, length: int, unit: NalUnit) -> bool:
    left = data[max(unit.payload, offset - _SEAM) : offset]
    right = data[offset + length : min(unit.end, offset + length + _SEAM)]
    if not right:  # nothing left behind the cut: zeros at the end would be taken for padding
        return left.endswith(b"\x00")
    joined = left + right
    crossing = range(max(0, len(left) - _SEAM), min(len(left), len(joined) - _SEAM))
    if any(joined[at : at + 2] == b"\x00\x00" and joined[at + 2] <= 3 for at in crossing):
        return True
    # An emulation prevention byte whose zeros are cut off would be read as payload.
    after = offset + length
    return _ESCAPED in (data[after - 2 : after + 1], data[after - 1 : after + 2])


def _remove(data: bytes, cuts: list[Cut]) -> bytes:
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(data[position : cut.offset])
        position = cut.offset + cut.length
    pieces.append(data[position:])
    return b"".join(pieces)
