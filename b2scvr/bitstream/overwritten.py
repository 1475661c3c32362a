"""Macroblocks that libavcodec had decoded, and conceals all the same: about 50 before each error that it notices.

Where bits are missing inside a slice, some of them are garbage and the others right: a detector sees more in them than in
concealment. Where slices lost their ends, all that arrived is right, and that is what does not depend on the bits behind it.
So the picture is decoded with two different endings of its slices: where both give the same samples, they were sent. (An
arithmetic decoder reads random bits as what is likely: a skipped macroblock that costs next to no bits, and comes out the
same by chance, is right as often as its model says.) Deblocking is switched off for that, as it carries the ending into
what came before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields

import numpy as np

from b2scvr.bitstream.assembly import one_picture
from b2scvr.bitstream.decoding import Decoder
from b2scvr.bitstream.endings import ENDINGS, last_undeblocked, up_to, with_ending
from b2scvr.bitstream.planes import grow_grid, merge_planes
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, AccessUnitStatus, Overwritten, ParsedClip, Planes, array_fields

_MAPS = {f.name for f in fields(Overwritten)}
_SAME_DECODE = 0.5  # of the macroblocks that the decoder trusts: so many must come out the same again


def find_overwritten(
    clip: ParsedClip, units: list[bytes], distrusted: Mapping[int, np.ndarray], proven: Collection[int] = ()
) -> None:
    """Fill `clip.overwritten`.

    units: the access units in decoding order, H.264; distrusted: by decode index, bool [coded h, coded w], what was decoded
    without an error and concealed (concealment.py); proven: display indices, see Overwritten.

    Only of the first damaged picture of a period: the later ones are decoded from it. Not in interlaced streams, where
    macroblocks come in pairs.
    """
    if distrusted and _is_progressive(units):
        for slot in _first_broken(clip):
            where = distrusted.get(int(clip.decode_index[slot]))
            found = None if where is None else _overwritten(clip, slot, up_to(clip, slot, units), where, slot in proven)
            if found is not None:
                clip.overwritten[slot] = found


def _is_progressive(units: list[bytes]) -> bool:
    sets = ParameterSets()
    for unit in units:
        sets.update(unit)
    return all(sps.frame_mbs_only for sps in sets.sps.values())


def _first_broken(clip: ParsedClip) -> Iterator[int]:
    """Yield the display indices of broken pictures behind intact ones alone."""
    is_intact = True
    for slot, key in clip.in_decoding_order():
        if slot < key:
            continue  # a leading picture predicts from the period before, too
        is_intact |= slot == key
        if is_intact and slot in clip.planes:
            yield slot
        is_intact &= bool(clip.status[slot] == AccessUnitStatus.INTACT)


def _overwritten(
    clip: ParsedClip, slot: int, units: list[bytes], distrusted: np.ndarray, proven: bool
) -> Overwritten | None:
    """Return what was overwritten in the last of the access units, the picture `slot`; None: nothing, or it is not told."""
    rows, columns = clip.concealed.shape[1:]
    found = distrusted[:rows, :columns].copy()
    is_cut_off = clip.is_cut_off and bool(clip.exhausted[slot])
    if not found.any():
        return None
    *before, last = units
    if is_cut_off:
        first, second = (last_undeblocked([*before, with_ending(last, ending)])[0] for ending in ENDINGS[:2])
        if first is None or second is None:
            return None
        found &= _same(first, second, found.shape)
        if not found.any():
            return None
        last = with_ending(last, ENDINGS[0])
    decoder = Decoder("h264", None, len(units), set(), concealment="0", orphans={len(units) - 1})
    seen = one_picture(decoder.decode_all([*before, last], {}), len(units) - 1)
    if seen is None or seen.frames.shape[1:] != clip.frames.shape[1:] or not seen.planes:
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
    return Overwritten(found, is_cut_off, proven, **maps, planes=merge_planes(nothing, samples, everywhere))


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
