"""Access units that gave no picture, written anew with samples of their own and the headers that they must have had."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.damage_trace import trace_damage
from b2scvr.bitstream.nal import scan
from b2scvr.bitstream.numbering import infer_headers
from b2scvr.bitstream.planes import grow_planes, rgb_to_planes
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.slice_header import SliceHeader
from b2scvr.bitstream.splice import write_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, MISSING_REFERENCE, AccessUnitStatus, ParsedClip, Planes, SpliceError

_MOST_NOTES = 5

Rebuilt = dict[int, Planes]  # display index -> samples


def rebuild_lost(coded: CodedClip, decode: Callable[[bytes], CodedClip]) -> tuple[CodedClip, Rebuilt]:
    """Return `coded` with its lost access units rebuilt, and the samples that they got.

    A rebuilt access unit is one picture of I_PCM macroblocks that shows what the clip repeats in its place until it is
    restored: in the clip that comes back it counts as lost and broken, wholly concealed, and what predicts from it as
    dependent. Its place in display order is exact now. `decode` parses a stream.

    Access units whose numbering cannot be told stay lost, and the decoder's gap filling stands; notes of the clip say why.
    All of them do when the new stream does not decode as it must: every picture there, in the order of its count, and none
    with a reference that is missing. `coded` is not changed.
    """
    lost = {int(index) for index in coded.clip.decode_index[coded.clip.lost]}
    if coded.clip.codec != "h264" or not lost:
        return coded, {}
    headers, remarks = infer_headers(coded.access_units, lost)
    units, samples = list(coded.access_units), dict[int, Planes]()
    sets = ParameterSets()
    for index, unit in enumerate(coded.access_units):
        sets.update(unit)
        if index in headers:
            try:
                samples[index] = _placeholder(coded.clip, index, headers[index], sets)
                units[index] = _before_slices(unit) + write_picture(headers[index], samples[index], sets)
            except SpliceError as error:
                remarks.append(f"access unit {index} was lost and is not rebuilt: {error}")
    if not samples:
        return _with_notes(coded, remarks), {}
    new = decode(b"".join(units) + coded.suffix)
    wrong = _what_is_wrong(new, coded, set(samples))
    if wrong:
        return _with_notes(coded, [f"{len(samples)} lost access units are not rebuilt: {wrong}"]), {}
    slots = np.argsort(new.clip.decode_index)
    rebuilt = {int(slots[index]): planes for index, planes in samples.items()}
    mark_unrestored(new.clip, rebuilt)
    return _with_notes(new, remarks), rebuilt


def mark_unrestored(clip: ParsedClip, rebuilt: Mapping[int, Planes]) -> None:
    """Mark rebuilt pictures that hold no restored samples yet as lost and broken in a clip that was read anew, in place."""
    for slot, planes in rebuilt.items():
        clip.lost[slot], clip.concealed[slot], clip.status[slot] = True, True, AccessUnitStatus.BROKEN
        clip.planes[slot] = planes
    if rebuilt:
        trace_damage(clip)


def _placeholder(clip: ParsedClip, index: int, header: SliceHeader, sets: ParameterSets) -> Planes:
    """The picture that the clip shows in the place of a lost one."""
    slot = int(np.flatnonzero(clip.decode_index == index)[0])
    sps, _ = sets.of_slice(header.pps_id)
    if clip.frames.shape[1:3] != sps.size:
        raise SpliceError(
            f"its parameter sets say {sps.size[1]}x{sps.size[0]} (H.264 7.4.2.1.1), another size than shown"
        )
    shown = rgb_to_planes(clip.frames[slot], *clip.colour, clip.pixel_format, sps.mb_adaptive_frame_field)
    left, _, top, _ = sps.crop
    return grow_planes(shown, (sps.height_mbs * MB_SIZE, sps.width_mbs * MB_SIZE), (top, left))


def _before_slices(unit: bytes) -> bytes:
    """What stands before the first slice of an access unit."""
    return unit[: next((nal.start for nal in scan(unit) if nal.is_slice), len(unit))]


def _what_is_wrong(new: CodedClip, old: CodedClip, rebuilt: set[int]) -> str | None:
    """Say what shows that the numbering is not right, None if nothing does."""
    if len(new.clip) != len(old.clip):
        return f"with them rebuilt the stream has {len(new.clip)} pictures, not {len(old.clip)}"
    missing = rebuilt & {int(index) for index in new.clip.decode_index[new.clip.lost]}
    if missing:
        return f"access unit {min(missing)} gave no picture after it was rebuilt either"
    if _missing_references(new) > _missing_references(old):
        return "with them rebuilt, later pictures refer to some that are not there (H.264 8.2.4)"
    return None


def _missing_references(coded: CodedClip) -> int:
    lists = itertools.chain.from_iterable(slice_references(coded.access_units))
    return sum(entries.count(MISSING_REFERENCE) for found in lists for entries in found.lists)


def _with_notes(coded: CodedClip, notes: list[str]) -> CodedClip:
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} notes like that"]
    return replace(coded, clip=replace(coded.clip, notes=(*coded.clip.notes, *notes)))
