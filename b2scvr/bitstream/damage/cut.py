"""BSCV's damage model (P, L, S), byte-accurate: bytes cut out of the payload of some slices of each GOP.

P slices are drawn in each GOP; of each, S bytes are removed at the relative position L of its payload. Unlike the
published generator, which works on hexadecimal text, a cut never touches a start code, a NAL header or a slice header,
and never reaches into the next NAL unit. With `legacy_nibbles` the cuts lie where that generator makes them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from b2scvr.bitstream.damage.coded_stream import CodedSlice, CodedStream
from b2scvr.bitstream.damage.model import DamageModel, Edit
from b2scvr.bitstream.damage.published_cut import published_edits
from b2scvr.bitstream.nal import NalType, NalUnit

_ESCAPED = b"\x00\x00\x03"
_SEAM = 2  # bytes on each side of a seam that can make up an emulated code (00 00 0x)


@dataclass(frozen=True)
class CutModel(DamageModel):
    """P, L and S of BSCV. `gop` counts pictures; a GOP also ends at the next IDR picture.

    A cut starts at payload start + L * (payload length - S), moved behind the slice header if need be. A slice with no
    more than S bytes behind its header loses half of them. A seam that would put together a start code or an emulation
    prevention byte (00 00 0x, x <= 3) moves the whole cut by the fewest bytes that avoid it, so that the damaged slice
    stays one NAL unit whose RBSP is the old one less the cut.

    With `legacy_nibbles` all of this is as the published generator has it (published_cut.py), headers and start codes
    included, and `gop` is not used: a GOP lasts from an IDR picture to the next SPS.
    """

    name: ClassVar[str] = "bscv"

    slices_per_gop: int = 1  # P
    gop: int = 16
    position: float = 0.4  # L, in [0, 1]
    length: int = 2048  # S, in bytes; in hexadecimal digits with legacy_nibbles
    seed: int = 0
    legacy_nibbles: bool = False  # place cuts and count S in hexadecimal digits, as the published generator does

    def validate(self) -> CutModel:
        """Return self; raise ValueError naming the parameter that makes no sense."""
        if self.slices_per_gop < 0 or self.gop < 1:
            raise ValueError(f"slices_per_gop {self.slices_per_gop} must be >= 0 and gop {self.gop} >= 1")
        if not 0 <= self.position <= 1:
            raise ValueError(f"position {self.position} must lie in [0, 1]")
        if self.length < 1 or (self.legacy_nibbles and self.length % 2):
            raise ValueError(f"length {self.length} must be positive, and even when it counts hexadecimal digits")
        return self

    def edits(self, stream: CodedStream) -> list[Edit]:
        """Return one edit for each cut."""
        if self.legacy_nibbles:
            return published_edits(stream, self.slices_per_gop, self.position, self.length, self.seed)
        draw = random.Random(self.seed)
        cuts = []
        for run in _gops(stream.slices, self.gop):
            for chosen in draw.sample(run, min(self.slices_per_gop, len(run))):
                offset, length = _place(stream.data, chosen, self)
                if length:
                    cuts.append(Edit(offset, length))
        return sorted(cuts, key=lambda cut: cut.offset)


# Published branches by name: P, 10 L and S in hexadecimal digits (two a byte); cut byte-accurately.
BRANCHES: dict[str, CutModel] = {
    "144096": CutModel(1, position=0.4, length=2048),
    "124096": CutModel(1, position=0.2, length=2048),
    "142048": CutModel(1, position=0.4, length=1024),
    "244096": CutModel(2, position=0.4, length=2048),
    "148192": CutModel(1, position=0.4, length=4096),
    "184096": CutModel(1, position=0.8, length=2048),
    "444096": CutModel(4, position=0.4, length=2048),
}


def branch(name: str, seed: int = 0) -> CutModel:
    """Return a published branch by name; ValueError lists the known ones."""
    if name not in BRANCHES:
        raise ValueError(f"unknown branch {name!r}: known are {', '.join(BRANCHES)}")
    return replace(BRANCHES[name], seed=seed)


def _gops(slices: list[CodedSlice], gop: int) -> Iterator[list[CodedSlice]]:
    """Yield the slices of each GOP: from an IDR picture, or `gop` pictures after the last start."""
    run: list[CodedSlice] = []
    for item in slices:
        if run and item.access_unit != run[-1].access_unit:
            full = item.access_unit - run[0].access_unit >= gop
            if full or item.unit.type == NalType.IDR:
                yield run
                run = []
        run.append(item)
    if run:
        yield run


def _place(data: bytes, item: CodedSlice, model: CutModel) -> tuple[int, int]:
    """Return offset and length of the cut in one slice; length 0 where nothing can be cut."""
    body, end = item.unit.payload + 1, item.unit.end
    room = end - item.header_end
    length = model.length if model.length < room else room // 2
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
