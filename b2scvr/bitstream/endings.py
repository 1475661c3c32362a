"""Pictures decoded once more with other bytes behind their slices: what that changes was not sent."""

from __future__ import annotations

import numpy as np

from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.packet import decode_logged, open_decoder, padded_packet
from b2scvr.bitstream.planes import planes_from_frame
from b2scvr.bitstream.sent_sets import SentSets
from b2scvr.types import ParsedClip, Planes

_LOWEST_BYTE = 4  # no start code and no emulation prevention can come about (H.264 7.4.1)
ENDINGS = tuple(np.random.default_rng(n).integers(_LOWEST_BYTE, 256, 64, np.uint8).tobytes() for n in range(3))
# Deblocking would carry the ending into what came before.
_OPTIONS = {"flags": "+output_corrupt", "apply_cropping": "0", "ec": "0", "skip_loop_filter": "all"}


def with_ending(unit: bytes, ending: bytes) -> bytes:
    """Return an access unit with more bytes at the end of each of its slices."""
    pieces, position = [], 0
    for nal in scan(unit):
        pieces.append(unit[position : nal.end])
        pieces += [ending] * nal.is_slice
        position = nal.end
    return b"".join([*pieces, unit[position:]])


def up_to(clip: ParsedClip, slot: int, units: list[bytes]) -> list[bytes]:
    """Return the access units that decode picture `slot`: those of its period up to its own, which is the last.

    For a leading picture those of the period before, too. units: all of the stream, in decoding order. Parameter sets that
    were sent before stand before the first.
    """
    keys = [other for other, key in clip.in_decoding_order() if other == key and other <= slot]
    starts = [int(clip.decode_index[key]) for key in keys if clip.decode_index[key] <= clip.decode_index[slot]]
    start = max(starts, default=0)
    first, *others = units[start : int(clip.decode_index[slot]) + 1]
    sent = SentSets()
    for unit in units[:start]:
        sent.update(unit)
    return [bytes(sent) + first, *others]


def last_undeblocked(units: list[bytes]) -> tuple[Planes | None, list[str]]:
    """Decode access units without concealment and deblocking.

    Returns the samples of the last one, None if it gave no picture, and what the decoder printed of it.
    """
    decoder, told = open_decoder("h264", None, _OPTIONS), list[str]()
    for number, unit in enumerate([*units, None]):
        packet = None if unit is None else padded_packet(unit, number, is_annexb=True)
        frames, messages = decode_logged(decoder, packet)
        if number == len(units) - 1:
            told = messages
        for frame in frames:
            if frame.pts == len(units) - 1:
                return planes_from_frame(frame), told
    return None, told
