"""Recovery points: intra pictures other than IDR pictures at which decoding can begin (H.264 D.1.8, D.2.8).

Broadcasts have them (open GOP). Nothing that is shown from such a picture on refers to what was decoded before it. But after it
come the leading pictures, which are shown before it and predict from both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from b2scvr.bitstream.bits import BitReader
from b2scvr.bitstream.nal import START_CODE, NalType, NalUnit, scan, starts_picture, unescape
from b2scvr.bitstream.slice_header import slice_start
from b2scvr.types import SpliceError

_RECOVERY_POINT = 6  # payloadType, D.1.1
# An SEI NAL unit that says so: recovery_frame_cnt 0, exact_match_flag 1, broken_link_flag 0.
MESSAGE = START_CODE + bytes([NalType.SEI, _RECOVERY_POINT, 1, 0b11000100, 0x80])
_MORE = 0xFF  # another byte of payloadType or payloadSize follows (7.3.2.3.1)
_INTRA = (2, 4, 7, 9)  # slice_type, table 7-6: I and SI


def is_recovery_point(unit: bytes) -> bool:
    """Whether an access unit says that from its picture on all that is shown is right, and that picture is intra.

    Of a pair of fields the first one counts. A recovery that takes some pictures (intra refresh) or only comes near
    (exact_match_flag 0) is none.
    """
    nals = scan(unit)
    messages = [unit[nal.payload : nal.end] for nal in nals if nal.type == NalType.SEI]
    return any(map(_tells_recovery, messages)) and _is_intra(unit, [nal for nal in nals if nal.type == NalType.SLICE])


def _tells_recovery(sei: bytes) -> bool:
    """Whether an SEI NAL unit holds a recovery point with recovery_frame_cnt 0 and exact_match_flag 1."""
    for kind, payload in _messages(unescape(sei[1:])):
        if kind == _RECOVERY_POINT:
            bits = BitReader(payload)
            try:
                return bits.ue() == 0 and bits.flag()
            except SpliceError:
                return False
    return False


def _messages(rbsp: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield payloadType and payload of each whole message (7.3.2.3.1)."""
    at = 0
    while at + 2 < len(rbsp):  # the last byte is that of rbsp_trailing_bits
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(rbsp) - 1 and rbsp[at] == _MORE:
                number, at = number + _MORE, at + 1
            numbers.append(number + rbsp[at])
            at += 1
            if at >= len(rbsp):
                return
        kind, size = numbers
        if at + size >= len(rbsp):
            return
        yield kind, rbsp[at : at + size]
        at += size


def _is_intra(unit: bytes, slices: list[NalUnit]) -> bool:
    """Whether the slices of the first picture, up to the next first_mb_in_slice of 0, are intra; no slice is not."""
    starts = [number for number, nal in enumerate(slices) if starts_picture(unit, nal)]
    first = slices[: starts[1]] if len(starts) > 1 else slices
    return bool(first) and all(slice_start(unit, nal)[1] in _INTRA for nal in first)
