"""Access units that gave no picture, written anew with samples of their own and the headers that they must have had."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from b2scvr.bitstream.absent import with_absent
from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.damage_trace import trace_damage
from b2scvr.bitstream.nal import first_slice
from b2scvr.bitstream.numbering import infer_headers
from b2scvr.bitstream.planes import grow_planes, rgb_to_planes
from b2scvr.bitstream.reference_lists import slice_references
from b2scvr.bitstream.slice_header import SliceHeader
from b2scvr.bitstream.splice import write_picture
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import MB_SIZE, MISSING_REFERENCE, AccessUnitStatus, ParsedClip, Planes, SpliceError

_MOST_NOTES = 5


@dataclass(frozen=True)
class Rebuilt:
    """The pictures that were given access units anew, by display index in the clip that holds them."""

    samples: Mapping[int, Planes] = field(default_factory=dict)  # what they show until they are restored
    added: tuple[int, ...] = ()  # those of which nothing arrived: the stream that came has no access unit for them


def rebuild_lost(coded: CodedClip, decode: Callable[[bytes], CodedClip]) -> tuple[CodedClip, Rebuilt]:
    """Return `coded` with its lost access units rebuilt, and those that are absent (absent.py) put in, and which they are.

    A rebuilt access unit is one picture of I_PCM macroblocks that shows what the clip repeats in its place until it is
    restored: in the clip that comes back it counts as lost and broken, wholly concealed, and what predicts from it as
    dependent. Its place in display order is exact now. `decode` parses a stream.

    Access units whose numbering cannot be told stay lost, and the decoder's gap filling stands; notes of the clip say why.
    All of them do when the new stream does not decode as it must: every picture there, in the order of its count, and none
    with a reference that is missing. Where the access units have times of their own in a container, none is put in.
    `coded` is not changed.
    """
    if coded.clip.codec != "h264":
        return coded, Rebuilt()
    units, absent = (coded.access_units, []) if coded.is_timed else with_absent(coded.access_units)
    if not absent:
        return _rebuild(coded, coded.access_units, [], decode)
    whole, rebuilt = _rebuild(coded, units, absent, decode)
    if rebuilt.added:
        return whole, rebuilt
    reasons = "; ".join(whole.clip.notes[len(coded.clip.notes) :])
    whole, rebuilt = _rebuild(coded, coded.access_units, [], decode)
    note = f"nothing arrived of {len(absent)} reference pictures, which are not put in: {reasons}"
    return _with_notes(whole, [note]), rebuilt


def _rebuild(
    coded: CodedClip, units: list[bytes], absent: list[int], decode: Callable[[bytes], CodedClip]
) -> tuple[CodedClip, Rebuilt]:
    """Rebuild what is lost in `units`: the access units of `coded`, with empty ones where `absent` says."""
    arrived = [number for number in range(len(units)) if number not in set(absent)]  # by decode index in `coded`
    lost = {arrived[int(index)] for index in coded.clip.decode_index[coded.clip.lost]} | set(absent)
    if not lost:
        return coded, Rebuilt()
    headers, remarks = infer_headers(units, lost)
    slots = np.argsort(coded.clip.decode_index)
    new_units, samples = list(units), dict[int, Planes]()
    sets = ParameterSets()
    for number, unit in enumerate(units):
        sets.update(unit)
        if number in headers:
            shown = int(slots[min(int(np.searchsorted(arrived, number)), len(slots) - 1)])
            try:
                samples[number] = _placeholder(coded.clip, shown, headers[number], sets)
                new_units[number] = unit[: first_slice(unit)] + write_picture(headers[number], samples[number], sets)
            except SpliceError as error:
                remarks.append(f"access unit {number} was lost and is not rebuilt: {error}")
    if not samples or not samples.keys() >= set(absent):
        return _with_notes(coded, remarks), Rebuilt()
    new = decode(b"".join(new_units) + coded.suffix)
    wrong = _what_is_wrong(new, coded, units, set(samples))
    if wrong:
        return _with_notes(coded, [f"{len(samples)} lost access units are not rebuilt: {wrong}"]), Rebuilt()
    slots = np.argsort(new.clip.decode_index)
    rebuilt = {int(slots[number]): planes for number, planes in samples.items()}
    mark_unrestored(new.clip, rebuilt)
    return _with_notes(new, remarks), Rebuilt(rebuilt, tuple(sorted(int(slots[number]) for number in absent)))


def mark_unrestored(clip: ParsedClip, rebuilt: Mapping[int, Planes]) -> None:
    """Mark rebuilt pictures that hold no restored samples yet as lost and broken in a clip that was read anew, in place."""
    for slot, planes in rebuilt.items():
        clip.lost[slot], clip.concealed[slot], clip.status[slot] = True, True, AccessUnitStatus.BROKEN
        clip.planes[slot] = planes
    if rebuilt:
        trace_damage(clip)


def repair_notes(clip: ParsedClip, rebuilt: Rebuilt) -> Iterator[str]:
    """Say what a repaired stream, read as `clip`, holds beyond what came, and what it could not mend."""
    if rebuilt.added:
        count = len(rebuilt.added)
        yield f"the repaired stream holds {count} more pictures: reference pictures of which nothing had arrived"
    lost = int(clip.lost.sum())
    if lost:
        yield f"{lost} access units gave no picture; the pictures that depend on them stay as the decoder left them"
    broken = int((clip.status == AccessUnitStatus.BROKEN).sum())
    if broken:
        yield f"{broken} restored pictures still read as broken after splicing"


def _placeholder(clip: ParsedClip, slot: int, header: SliceHeader, sets: ParameterSets) -> Planes:
    """What the clip shows at `slot`, with the margins of the coded pictures."""
    sps, _ = sets.of_slice(header.pps_id)
    if clip.frames.shape[1:3] != sps.size:
        raise SpliceError(
            f"its parameter sets say {sps.size[1]}x{sps.size[0]} (H.264 7.4.2.1.1), another size than shown"
        )
    shown = rgb_to_planes(clip.frames[slot], *clip.colour, clip.pixel_format, sps.mb_adaptive_frame_field)
    left, _, top, _ = sps.crop
    return grow_planes(shown, (sps.height_mbs * MB_SIZE, sps.width_mbs * MB_SIZE), (top, left))


def _what_is_wrong(new: CodedClip, old: CodedClip, units: list[bytes], rebuilt: set[int]) -> str | None:
    """Say what shows that the numbering is not right, None if nothing does. units: what `new` was to hold."""
    if len(new.clip) != len(units):
        return f"with them rebuilt the stream has {len(new.clip)} pictures, not {len(units)}"
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
