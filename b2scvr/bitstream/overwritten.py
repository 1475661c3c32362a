"""Macroblocks that libavcodec had decoded, and conceals all the same: about 50 before each error that it notices.

Where bits are missing inside a slice, some of them are garbage and the others right: a detector sees more in them than in
concealment. Where slices lost their ends, all that arrived is right, and that is what does not depend on the bits behind it.
So the picture is decoded with two different endings of its slices: where both give the same samples, they were sent. (An
arithmetic decoder reads random bits as what is likely: a skipped macroblock that costs next to no bits, and comes out the
same by chance, is right as often as its model says.) Deblocking is switched off for that, as it carries the ending into
what came before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import av
import av.logging
import numpy as np

from b2scvr.bitstream.assembly import one_picture
from b2scvr.bitstream.concealment import DISTRUSTED_BEFORE
from b2scvr.bitstream.decoding import Decoder
from b2scvr.bitstream.nal import START_CODE, NalType, scan
from b2scvr.bitstream.packet import open_decoder, padded_packet
from b2scvr.bitstream.planes import grow_grid, merge_planes, planes_from_frame
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, AccessUnitStatus, Overwritten, ParsedClip, Planes, array_fields

_WITHOUT_DEBLOCKING = {"flags": "+output_corrupt", "apply_cropping": "0", "ec": "0", "skip_loop_filter": "all"}
_LOWEST_BYTE = 4  # no start code and no emulation prevention can come about (H.264 7.4.1)
_ENDINGS = tuple(np.random.default_rng(n).integers(_LOWEST_BYTE, 256, 64, np.uint8).tobytes() for n in range(2))
_MAPS = {f.name for f in fields(Overwritten)}
_SAME_DECODE = 0.5  # of the macroblocks that the decoder trusts: so many must come out the same again


def find_overwritten(clip: ParsedClip, units: list[bytes]) -> None:
    """Fill `clip.overwritten`. units: the access units in decoding order, H.264.

    Only of the first damaged picture of a period: the later ones are decoded from it. Not in interlaced streams, where
    macroblocks come in pairs.
    """
    if clip.noticed.any() and _is_progressive(units):
        for slot, start in _first_noticed(clip):
            found = _overwritten(clip, slot, _sets(units[:start]), units[start : int(clip.decode_index[slot]) + 1])
            if found is not None:
                clip.overwritten[slot] = found


def _is_progressive(units: list[bytes]) -> bool:
    sets = ParameterSets()
    for unit in units:
        sets.update(unit)
    return all(sps.frame_mbs_only for sps in sets.sps.values())


def _first_noticed(clip: ParsedClip) -> Iterator[tuple[int, int]]:
    """Yield display index, and where its period begins in decoding order, of broken pictures behind intact ones alone."""
    is_intact = True
    for slot, key in clip.in_decoding_order():
        if slot < key:
            continue  # a leading picture predicts from the period before, too
        is_intact |= slot == key
        if is_intact and clip.noticed[slot].any() and slot in clip.planes:
            yield slot, int(clip.decode_index[key]) if key >= 0 else 0
        is_intact &= bool(clip.status[slot] == AccessUnitStatus.INTACT)


def _overwritten(clip: ParsedClip, slot: int, sets: bytes, units: list[bytes]) -> Overwritten | None:
    """Return what was overwritten in the last of the access units, the picture `slot`; None: nothing, or it is not told."""
    found = _distrusted(clip, slot)
    is_cut_off = clip.is_cut_off
    if not found.any():
        return None
    before, last = [sets + units[0], *units[1:-1]], units[-1]
    if len(units) == 1:
        before, last = [], sets + last
    if is_cut_off:
        first, second = (_undeblocked([*before, _with_ending(last, ending)]) for ending in _ENDINGS)
        if first is None or second is None:
            return None
        found &= _same(first, second, found.shape)
        last = _with_ending(last, _ENDINGS[0])
    decoder = Decoder("h264", None, len(units), set(), concealment="0", orphans={len(units) - 1})
    seen = one_picture(decoder.decode_all([*before, last], {}), len(units) - 1)
    if seen is None or not found.any() or seen.frames.shape[1:] != clip.frames.shape[1:] or not seen.planes:
        return None
    trusted = ~clip.concealed[slot]
    if (_same(seen.planes[0], clip.planes[slot], trusted.shape) & trusted).sum() < _SAME_DECODE * trusted.sum():
        return None
    maps = {name: value[0] for name, value in array_fields(seen).items() if name in _MAPS}
    height, width = maps["frames"].shape[:2]
    maps["frames"] *= found.repeat(MB_SIZE, 0).repeat(MB_SIZE, 1)[:height, :width, None]
    samples = seen.planes[0]
    nothing = Planes(np.zeros_like(samples.y), np.zeros_like(samples.u), np.zeros_like(samples.v), samples.interlaced)
    everywhere = grow_grid(found, (samples.y.shape[0] // MB_SIZE, samples.y.shape[1] // MB_SIZE))
    return Overwritten(found, is_cut_off, **maps, planes=merge_planes(nothing, samples, everywhere))


def _distrusted(clip: ParsedClip, slot: int) -> np.ndarray:
    """Which macroblocks of a picture were decoded before an error and then concealed, bool [h, w]."""
    concealed, starts = clip.concealed[slot].ravel(), clip.slice_start[slot].ravel()
    found = np.zeros(concealed.size, bool)
    for error in np.flatnonzero(clip.noticed[slot]).tolist():
        for place in range(error - 1, max(error - 1 - DISTRUSTED_BEFORE, -1), -1):
            if not concealed[place] or starts[place + 1]:
                break
            found[place] = True
    return found.reshape(clip.concealed.shape[1:])


def _with_ending(unit: bytes, ending: bytes) -> bytes:
    """Return an access unit with more bytes at the end of each of its slices."""
    pieces, position = [], 0
    for nal in scan(unit):
        pieces.append(unit[position : nal.end])
        pieces += [ending] * nal.is_slice
        position = nal.end
    return b"".join([*pieces, unit[position:]])


def _undeblocked(units: list[bytes]) -> Planes | None:
    """Decode access units without concealment and deblocking; return the samples of the last one."""
    decoder = open_decoder("h264", None, _WITHOUT_DEBLOCKING)
    with av.logging.Capture():
        for number, unit in enumerate([*units, None]):
            try:
                frames = decoder.decode(None if unit is None else padded_packet(unit, number, is_annexb=True))
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                continue  # no picture
            for frame in frames:
                if frame.pts == len(units) - 1:
                    return planes_from_frame(frame)
    return None


def _same(one: Planes, other: Planes, shape: tuple[int, ...]) -> np.ndarray:
    """Which macroblocks have the same samples in both pictures, bool [h, w], of the size that is shown."""
    if one.y.shape != other.y.shape:
        return np.zeros(shape, bool)
    rows, columns = (side // MB_SIZE for side in one.y.shape)
    same = np.ones((rows, columns), bool)
    for first, second in ((one.y, other.y), (one.u, other.u), (one.v, other.v)):
        differs = first != second
        height, width = differs.shape[0] // rows, differs.shape[1] // columns  # of a macroblock
        same &= ~differs.reshape(rows, height, columns, width).any(axis=(1, 3))
    return same[: shape[0], : shape[1]]


def _sets(units: list[bytes]) -> bytes:
    """Return the parameter sets in access units, each once, those sent last behind the others."""
    found: dict[bytes, None] = {}
    for unit in units:
        for nal in scan(unit):
            if nal.type in (NalType.SPS, NalType.PPS):
                raw = unit[nal.payload : nal.end]
                found.pop(raw, None)
                found[raw] = None
    return b"".join(START_CODE + raw for raw in found)
