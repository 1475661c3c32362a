"""Restored pictures back into a whole stream, and what a stream tells once its broken pictures are out of the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.planes import chroma_scale, grow_grid
from b2scvr.bitstream.slice_header import parse_slice_header
from b2scvr.bitstream.splice import check_slices, check_spliceable, splice_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, MISSING_REFERENCE, AccessUnitStatus, ParsedClip, Planes, SpliceError

B_SLICE, SLICE_KINDS = 1, 5  # slice_type modulo 5, H.264 table 7-6
VECTOR_FIELDS = (
    "mv_past", "mv_future", "mv_past_valid", "mv_future_valid", "past_reference", "future_reference",
)  # fmt: skip


def require_spliceable(coded: CodedClip) -> None:
    """Raise SpliceError, naming the reason, when the broken pictures of `coded` cannot be replaced inside its stream."""
    clip = coded.clip
    if clip.codec != "h264":
        raise SpliceError(f"splicing needs H.264; this stream is {clip.codec}")
    sets = ParameterSets()
    for unit in coded.access_units:
        sets.update(unit)
    if not sets.sps or not sets.pps:
        raise SpliceError("splicing needs the stream's parameter sets (H.264 7.3.2.1, 7.3.2.2); none was found")
    for sps in sets.sps.values():
        for pps in sets.pps.values():
            check_spliceable(sps, pps)
    check_slices(clip.nal_units["type"], clip.nal_units["slice_type"])
    missing = [slot for slot in range(len(clip)) if _is_broken(clip.status[slot]) and slot not in clip.planes]
    if missing:
        raise SpliceError(
            f"the decoder gave no samples of picture {missing[0]} that can be put back: {clip.pixel_format}"
        )


def splice_stream(coded: CodedClip, pictures: Mapping[int, Planes], whole: Collection[int] = ()) -> list[bytes]:
    """Return the access units of `coded`, in decoding order, with `pictures` (display index -> samples) spliced in.

    Slices in which nothing was concealed and whose samples are the decoder's own stay as they were sent, but in the
    pictures named in `whole`. Raises SpliceError when a picture cannot be replaced.
    """
    by_unit = {
        int(coded.clip.decode_index[slot]): (
            planes,
            None if slot in whole else _wrong_macroblocks(coded.clip, slot, planes),
        )
        for slot, planes in pictures.items()
    }
    sets = ParameterSets()
    units = []
    for index, unit in enumerate(coded.access_units):
        sets.update(unit)
        if index in by_unit:
            planes, wrong = by_unit[index]
            unit = splice_picture(unit, planes, sets, wrong)
        units.append(unit)
    return units


def _wrong_macroblocks(clip: ParsedClip, slot: int, planes: Planes) -> np.ndarray | None:
    """Return which macroblocks of a picture are to come from `planes`, bool [coded h, coded w].

    None stands for all of them: the decoder did not say where it failed, or gave no samples of that size to compare.
    """
    decoded = clip.planes.get(slot)
    if decoded is None or decoded.y.shape != planes.y.shape or not clip.concealed[slot].any():
        return None
    height, width = decoded.y.shape
    size = -(-height // MB_SIZE), -(-width // MB_SIZE)
    wrong = grow_grid(clip.concealed[slot], size)
    scale = chroma_scale(decoded)
    pairs = ((decoded.y, planes.y, (1, 1)), (decoded.u, planes.u, scale), (decoded.v, planes.v, scale))
    for old, new, (down, across) in pairs:
        rows, columns = np.nonzero(old != new)
        wrong[rows * down // MB_SIZE, columns * across // MB_SIZE] = True
    return wrong


def restore_vectors(coded: CodedClip, decode: Callable[[bytes], CodedClip]) -> None:
    """Give the pictures that are not broken the vectors that they were sent, in place.

    Spatial direct prediction of a B picture asks the co-located picture whether it stands still (H.264 8.4.1.2.2), and
    vector prediction passes the answer on to the neighbours: next to a broken picture vectors come out wrong although
    their bits arrived. With the broken pictures replaced by intra pictures, whatever their samples, that influence is
    gone. Temporal direct prediction (8.4.1.2.3) takes the vectors themselves from there: such pictures are left as they
    are. A stream without B slices has neither, and is not decoded again. `decode` parses a stream.

    Raises SpliceError when the stream cannot be spliced.
    """
    clip = coded.clip
    broken = {slot: planes for slot, planes in clip.planes.items() if _is_broken(clip.status[slot])}
    if not broken or B_SLICE not in clip.nal_units["slice_type"] % SLICE_KINDS:
        return
    probe = decode(b"".join(splice_stream(coded, broken)) + coded.suffix).clip
    if len(probe) != len(clip):
        raise SpliceError(f"with its broken pictures replaced the stream has {len(probe)} pictures, not {len(clip)}")
    temporal = _temporal_direct(coded.access_units)
    for slot in range(len(clip)):
        if not (_is_broken(clip.status[slot]) or clip.lost[slot] or temporal[clip.decode_index[slot]]):
            for name in VECTOR_FIELDS:
                getattr(clip, name)[slot] = getattr(probe, name)[slot]


def _temporal_direct(units: list[bytes]) -> list[bool]:
    """Whether each access unit holds a B slice with temporal direct prediction; unreadable headers count as none."""
    sets = ParameterSets()
    return [_has_temporal_slice(unit, sets) for unit in units]


def _has_temporal_slice(unit: bytes, sets: ParameterSets) -> bool:
    sets.update(unit)
    for nal in scan(unit):
        if not nal.is_slice:
            continue
        try:
            header = parse_slice_header(unit[nal.payload : nal.end], sets)
        except SpliceError:
            return False
        if header.slice_type % SLICE_KINDS == B_SLICE and not header.direct_spatial_mv_pred:
            return True
    return False


def next_broken(clip: ParsedClip, done: set[int]) -> list[int]:
    """Return the display indices to restore next: the first broken picture of each period that is not in `done`.

    A period begins at a key picture. What is decoded in it but shown before that picture belongs to the one before, too.

    A picture that predicts from access units that are not in the stream counts as broken: nothing can be put in their place,
    and what follows is right once it is.

    The later ones of a period are looked at again once it is repaired: what is right in them depends on it. So is one at the
    head of its period whose predecessor in display is still to be repaired: much of it is seen there.
    """
    chosen: list[int] = []
    taken_before, taken = False, False
    for slot, key in clip.in_decoding_order():
        if slot == key:
            taken_before, taken = taken, False
        is_due = (_is_broken(clip.status[slot]) or _is_orphan(clip, slot)) and slot not in done
        if not is_due or taken or (taken_before and slot < key):
            continue
        taken_before |= slot < key
        taken |= slot >= key
        first = clip.decode_index[key] if key >= 0 else 0
        if not (chosen and _follows_damage(clip, slot, first)):
            chosen.append(slot)
    return chosen


def _follows_damage(clip: ParsedClip, slot: int, first: int) -> bool:
    """Whether what is shown before a picture is damaged, and decoded before its period, which begins at index `first`."""
    before = np.flatnonzero(clip.decode_index[:slot] < clip.decode_index[slot])
    if not len(before) or clip.decode_index[before[-1]] >= first:
        return False
    return bool(clip.status[before[-1]] != AccessUnitStatus.INTACT)


def _is_orphan(clip: ParsedClip, slot: int) -> bool:
    """Whether a picture whose samples are at hand predicts from access units that are not in the stream."""
    if clip.status[slot] != AccessUnitStatus.DEPENDENT or slot not in clip.planes:
        return False
    return any((found[slot] == MISSING_REFERENCE).any() for found in (clip.past_reference, clip.future_reference))


def _is_broken(status: int) -> bool:
    return status == AccessUnitStatus.BROKEN
