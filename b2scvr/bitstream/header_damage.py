"""Headers of H.264 with one number changed: everything else, the slice data included, stays as it was sent."""

from __future__ import annotations

import random

from b2scvr.bitstream.bits import BitReader, BitWriter
from b2scvr.bitstream.nal import NalType, escape, scan, unescape
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets, parse_pps, parse_sps
from b2scvr.types import SpliceError

HEADERS = (NalType.SPS, NalType.PPS, NalType.SLICE, NalType.IDR)
_LARGEST_UE = 2**32 - 2
_FLIP_SIGN = 2  # 1 in so many changed se(v) gets the other sign


class FieldRecorder(BitReader):
    """A reader that remembers where each number stands and how it is coded."""

    def __init__(self, rbsp: bytes) -> None:
        super().__init__(rbsp)
        self.fields: list[tuple[int, int, str, int]] = []  # first bit, bits, descriptor (7.2), value

    def u(self, count: int) -> int:
        """Return `count` bits as an unsigned number."""
        start, value = self.position, super().u(count)
        self._note(start, "u", value, len(self.fields))
        return value

    def ue(self) -> int:
        """Return an unsigned Exp-Golomb code."""
        start, before = self.position, len(self.fields)
        value = super().ue()
        self._note(start, "ue", value, before)
        return value

    def se(self) -> int:
        """Return a signed Exp-Golomb code."""
        start, before = self.position, len(self.fields)
        value = super().se()
        self._note(start, "se", value, before)
        return value

    def _note(self, start: int, kind: str, value: int, before: int) -> None:
        """Put one number in the place of the bits that it was read from."""
        del self.fields[before:]
        if self.position > start:
            self.fields.append((start, self.position - start, kind, value))


def change_header(data: bytes, number: int, draw: random.Random) -> tuple[bytes, str]:
    """Return an Annex-B stream in which one number of the header in NAL unit `number` is another one, and what was done.

    Where the header cannot be read (it is damaged already), or is of another kind, one of its first bytes is changed.
    """
    nals = scan(data)
    nal = nals[number]
    sets = ParameterSets()
    for earlier in nals[:number]:
        if earlier.type in (NalType.SPS, NalType.PPS):
            sets.update(data[earlier.start : earlier.end])
    raw = data[nal.payload : nal.end]
    try:
        recorder, header_bits = _read(raw, sets)
        start, length, kind, old = draw.choice(recorder.fields)
    except (SpliceError, IndexError):
        place = nal.payload + draw.randrange(min(nal.end - nal.payload, 8))
        return data[:place] + draw.randbytes(1) + data[place + 1 :], f"a byte of the header of NAL unit {number}"
    new = _another(old, kind, length, draw)
    rbsp = _rewritten(
        unescape(raw[1:]), start, length, _coded(new, kind, length), _aligned_data(nal.type, header_bits, sets)
    )
    text = f"field {recorder.fields.index((start, length, kind, old))} of a NAL unit of type {nal.type}: {old} -> {new}"
    return data[: nal.payload + 1] + escape(rbsp) + data[nal.end :], text


def _read(raw: bytes, sets: ParameterSets) -> tuple[FieldRecorder, int]:
    """Return a recorder that has read the header in a NAL unit, and the header's length if slice data follow."""
    recorders: list[FieldRecorder] = []

    def reader(rbsp: bytes) -> FieldRecorder:
        recorders.append(FieldRecorder(rbsp))
        return recorders[-1]

    kind = raw[0] & 0x1F
    bits = 0
    if kind == NalType.SPS:
        parse_sps(unescape(raw[1:]), reader)
    elif kind == NalType.PPS:
        parse_pps(unescape(raw[1:]), sets.sps, reader)
    else:
        bits = parse_slice_header(raw[:MAX_HEADER_BYTES], sets, reader).header_bits
    return recorders[-1], bits


def _aligned_data(kind: int, header_bits: int, sets: ParameterSets) -> int:
    """Return the bit at which slice data begin that must stay aligned (CABAC), 0 where nothing must."""
    is_slice = kind in (NalType.SLICE, NalType.IDR)
    return header_bits if is_slice and any(pps.cabac for pps in sets.pps.values()) else 0


def _another(old: int, kind: str, length: int, draw: random.Random) -> int:
    """Draw another value: near the old one, at an end of its range, or anywhere."""
    largest = (1 << length) - 1 if kind == "u" else _LARGEST_UE if kind == "ue" else _LARGEST_UE // 2
    near = old + draw.choice((-2, -1, 1, 2))
    new = draw.choice((near, near, 0, 1, draw.randrange(32), draw.randrange(largest + 1), largest))
    if kind == "se":
        return -new if draw.randrange(_FLIP_SIGN) else new
    new = min(max(new, 0), largest)
    return new if new != old else (old + 1) % (largest + 1)


def _coded(value: int, kind: str, length: int) -> str:
    bits = BitWriter()
    if kind == "u":
        bits.u(value, length)
    elif kind == "ue":
        bits.ue(value)
    else:
        bits.se(value)
    return bits.bit_string()


def _rewritten(rbsp: bytes, start: int, length: int, code: str, aligned_from: int) -> bytes:
    """Put `code` in the place of `length` bits; what follows moves, whole bytes of slice data by whole bytes."""
    bits = f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"
    head, tail = bits[:start] + code, bits[start + length :]
    if aligned_from:
        data = -(-aligned_from // 8) * 8
        head += bits[start + length : aligned_from]
        head += "1" * (-len(head) % 8)  # cabac_alignment_one_bit
        tail = bits[data:]
    text = (head + tail).rstrip("0")
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""
