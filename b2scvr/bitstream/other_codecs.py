"""What is known of streams other than H.264: what their headers and rules tell, what their decoders don't."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from b2scvr.bitstream.nal import scan
from b2scvr.types import ParsedClip, PictureType

# Decoders built on libavcodec's error resilience: they tell which macroblocks they made up.
RESILIENT = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "h263", "flv1"})
# A P picture is predicted from the reference picture decoded last, a B picture from the last two (MPEG-2 7.6, MPEG-4 7.6).
_TWO_REFERENCES = RESILIENT - {"h264"}
_PICTURE, _VOP = b"\x00\x00\x01\x00", b"\x00\x00\x01\xb6"  # picture_start_code, vop_start_code
_HEADED = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})  # their picture headers are read here
_CODING_TYPES = (PictureType.I, PictureType.P, PictureType.B)
_SHOWN_AT_ONCE = frozenset({"vp8", "vp9", "h263", "flv1", "mjpeg"})  # pictures are shown in the order of their packets
_IRAP = range(16, 24)  # nal_unit_type of pictures where decoding can start (H.265 table 7-1)
_RASL = frozenset({8, 9})  # pictures that a decoder skips when it starts at the key picture before them
_VCL = 32  # nal_unit_type below this: a slice
_NON_REFERENCE = frozenset(range(0, 16, 2))  # sub-layer non-reference pictures (H.265 table 7-1)


def read_other_headers(clip: ParsedClip, units: list[bytes]) -> None:
    """Fill `is_key`, `is_reference` and the references of vectors of a clip that is not H.264, in place."""
    slots = np.argsort(clip.decode_index)
    if clip.codec == "hevc":
        for slot, unit in zip(slots, units, strict=True):
            types = _slice_types(unit)
            clip.is_key[slot] = any(kind in _IRAP for kind in types)
            skipped = clip.lost[slot] and not _RASL.isdisjoint(
                types
            )  # only others that are skipped too predict from it
            clip.is_reference[slot] = not skipped and (not types or any(kind not in _NON_REFERENCE for kind in types))
        return
    clip.is_key[:] = clip.picture_type == PictureType.I
    if clip.codec in _TWO_REFERENCES:
        for slot, unit in zip(slots, units, strict=True):
            told = _coding_type(unit, clip.codec) if clip.lost[slot] else clip.picture_type[slot]
            clip.is_reference[slot] = told != PictureType.B
        _refer_by_rule(clip, slots)


def key_units(units: list[bytes], codec: str, flagged: Collection[int]) -> list[int]:
    """Return the access units at which decoding can begin: as their headers say, else those that are `flagged`."""
    if codec == "hevc":
        return [number for number, unit in enumerate(units) if any(kind in _IRAP for kind in _slice_types(unit))]
    if codec in _HEADED:
        return [number for number, unit in enumerate(units) if _coding_type(unit, codec) == PictureType.I]
    return sorted(flagged)


def may_be_leading(unit: bytes, codec: str) -> bool:
    """Whether an access unit may be shown before a key picture that was decoded before it, and need what came before that."""
    if codec == "hevc":
        return not _RASL.isdisjoint(_slice_types(unit))
    if codec in _HEADED:
        return _coding_type(unit, codec) == PictureType.B
    return codec not in _SHOWN_AT_ONCE


def _slice_types(unit: bytes) -> list[int]:
    """nal_unit_type of the slices of an access unit of HEVC."""
    return [kind for nal in scan(unit) if (kind := unit[nal.payload] >> 1 & 0x3F) < _VCL]


def _coding_type(unit: bytes, codec: str) -> PictureType | None:
    """What the picture header says (MPEG-2 6.3.9, MPEG-4 part 2 6.3.5); None: there is none."""
    start, shift, mask, first = (_VOP, 6, 3, 0) if codec == "mpeg4" else (_PICTURE, 3, 7, 1)
    place = unit.find(start) + len(start) + (0 if codec == "mpeg4" else 1)
    if not len(start) <= place < len(unit):
        return None
    kind = (unit[place] >> shift & mask) - first
    return _CODING_TYPES[kind] if 0 <= kind < len(_CODING_TYPES) else None


def _refer_by_rule(clip: ParsedClip, slots: np.ndarray) -> None:
    """Fill in which picture each vector means, where the rule is simple. A lost picture counts as a reference picture."""
    earlier, latest = -1, -1
    for slot in map(int, slots):
        past = earlier if clip.picture_type[slot] == PictureType.B else latest
        for out, valid, reference in (
            (clip.past_reference, clip.mv_past_valid, past),
            (clip.future_reference, clip.mv_future_valid, latest),
        ):
            if reference >= 0:
                out[slot][valid[slot]] = reference
        if clip.is_reference[slot]:
            earlier, latest = latest, slot


def missing_evidence(clip: ParsedClip) -> Iterator[str]:
    """Say in words what is not known of a clip that is not H.264."""
    lacks = [
        name
        for name, told in (
            ("motion vectors", clip.mv_past_valid.any() or clip.mv_future_valid.any()),
            ("prediction modes", clip.mode.any()),
            ("QP", (clip.qp >= 0).any()),
            ("concealment map", clip.codec in RESILIENT),
        )
        if not told
    ]
    if lacks:
        yield f"{clip.codec}: its decoder tells no {', no '.join(lacks)}"
    if "concealment map" in lacks:
        yield f"{clip.codec}: damage is known only where a picture is lost or flagged by the decoder; the rest counts as intact"
    else:
        yield f"{clip.codec}: damage that its decoder did not notice counts as intact"
