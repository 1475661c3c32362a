"""What the decode loop collected -> ParsedClip: display order, aligned maps, status of every access unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from b2scvr.bitstream.decoding import Decoding, Picture
from b2scvr.bitstream.display import display_order
from b2scvr.bitstream.nal import NalType, NalUnit, scan, starts_picture
from b2scvr.bitstream.other_codecs import RESILIENT, missing_evidence, read_other_headers
from b2scvr.bitstream.prediction_modes import modes_from_vectors
from b2scvr.bitstream.recovery_point import is_recovery_point
from b2scvr.bitstream.slice_header import slice_start
from b2scvr.bitstream.syntax import ParameterSets
from b2scvr.types import (
    MB_SIZE,
    MV_BLOCK,
    NAL_UNIT,
    UNKNOWN_REFERENCE,
    AccessUnitStatus,
    ParsedClip,
    PictureType,
    PredictionMode,
)


@dataclass
class CodedClip:
    """A parsed clip together with its coded bytes (Annex B for H.264), one entry per access unit, in decoding order."""

    clip: ParsedClip
    access_units: list[bytes]
    suffix: bytes = b""  # bytes after the last picture that belong to none
    mended: bool = False  # damaged parameter sets were replaced: the access units are not quite those of the file
    is_timed: bool = False  # each access unit has a time of its own in a container

    def stream(self) -> bytes:
        """Return the elementary stream."""
        return b"".join(self.access_units) + self.suffix


def assemble(decoding: Decoding, units: list[bytes], fps: float, codec: str, digest: str) -> ParsedClip:
    """Return the clip in display order, without references and trace. `units` are the access units in decoding order.

    The pictures of `decoding` become those of the clip.
    """
    received = list(decoding.pictures)
    order = display_order(received, len(units))
    clip = blank_clip(_spread(decoding.frames, received, order), fps, codec, digest)
    clip.colour, clip.pixel_format, clip.crop = decoding.colour, decoding.pixel_format, decoding.crop
    clip.decode_index[:] = order
    missing_modes = 0
    for slot, index in enumerate(order):
        picture = decoding.pictures.get(index)
        if picture is None and index in decoding.repeated and slot:
            _repeat(clip, slot)
            continue
        if picture is None:
            clip.lost[slot], clip.concealed[slot], clip.status[slot] = True, True, AccessUnitStatus.LOST
            continue
        missing_modes += picture.modes is None
        _place(clip, slot, picture)
        if picture.planes is not None:
            clip.planes[slot] = picture.planes
        if decoding.is_broken(index) or (codec != "h264" and picture.is_corrupt):  # only H.264's decoder tells where
            clip.status[slot] = AccessUnitStatus.BROKEN
        elif index in decoding.stained:
            clip.status[slot] = AccessUnitStatus.DEPENDENT
        if index in decoding.concealed:
            rows, columns = clip.concealed.shape[1:]
            clip.concealed[slot] = decoding.concealed[index][:rows, :columns]
            clip.exhausted[slot] = index in decoding.exhausted
            for row, column in decoding.noticed[index]:
                clip.noticed[slot, min(row, rows - 1), min(column, columns - 1)] = True
    _read_headers(clip, units, order)
    clip.exhausted |= lack_slices(clip)
    _name_sources(clip, missing_modes, len(received))
    return clip


def _repeat(clip: ParsedClip, slot: int) -> None:
    """A picture that was not coded, on purpose: the one before is shown again, as if every macroblock were skipped."""
    clip.picture_type[slot], clip.mode[slot] = PictureType.P, PredictionMode.SKIP
    clip.mv_past_valid[slot], clip.past_reference[slot] = True, slot - 1


def lack_slices(clip: ParsedClip) -> np.ndarray:
    """Return which pictures of several slices lack macroblocks, without any error in those that were decoded, bool [T]."""
    starts = clip.slice_start.sum(axis=(1, 2))
    several = (starts > 1) | ((starts == 1) & ~clip.slice_start[:, 0, 0])
    return several & clip.concealed.any(axis=(1, 2)) & ~clip.noticed.any(axis=(1, 2)) & ~clip.lost


def _spread(frames: np.ndarray, received: list[int], order: list[int]) -> np.ndarray:
    """Move pictures (output order) to their slots, in place; a slot without one repeats the last good picture."""
    position = {index: number for number, index in enumerate(received)}
    for slot in range(len(order) - 1, -1, -1):
        if (number := position.get(order[slot])) is not None and number != slot:
            frames[slot] = frames[number]
    first = next(slot for slot, index in enumerate(order) if index in position)
    for slot, index in enumerate(order):
        if index not in position:
            frames[slot] = frames[slot - 1 if slot > first else first]
    return frames


def _name_sources(clip: ParsedClip, missing_modes: int, received: int) -> None:
    """Say where each field was read, and what is missing: modes of so many of the pictures that were received."""
    h264 = clip.codec == "h264"
    vectors = _tells_vectors(clip)
    derived = "derived from the vectors"
    told = "libavcodec's debug=mb_type"
    if not vectors and missing_modes == received:
        derived, clip.mode[:] = "none", PredictionMode.UNKNOWN
    some = f"{told}; {missing_modes} of {received} pictures {derived}"
    clip.sources = {
        "frames": f"libavcodec's {clip.codec} decoder, one thread",
        "vectors": "AVMotionVector side data" if vectors else "none",
        "references": "reference lists (H.264 8.2.4) and weights probe" if h264 and vectors else "none",
        "mode": derived if missing_modes == received else some if missing_modes else told,
        "qp": "AVVideoEncParams side data" if (clip.qp >= 0).any() else "none",
        "concealed": "libavcodec's debug=er" if clip.codec in RESILIENT else "none",
        "status": "debug=er, bits left unread, references" if h264 else "the decoder's corrupt flag, references",
        "nal_units": "slice headers (H.264 7.3.3)" if h264 else "none",
    }
    if missing_modes and vectors:
        clip.notes += (
            f"{missing_modes} pictures without macroblock modes from the decoder: derived from their vectors",
        )
    if not h264:
        clip.notes += tuple(missing_evidence(clip))
    elif not vectors:
        clip.notes += ("no motion vectors: an intra-only stream",)


def _tells_vectors(clip: ParsedClip) -> bool:
    """Whether any vector was sent: those of concealed macroblocks are the decoder's guesses."""
    rows, columns = clip.mv_past_valid.shape[1:]
    sent = ~clip.concealed.repeat(MB_SIZE // MV_BLOCK, 1).repeat(MB_SIZE // MV_BLOCK, 2)[:, :rows, :columns]
    return bool((sent & (clip.mv_past_valid | clip.mv_future_valid)).any())


def blank_clip(frames: np.ndarray, fps: float, codec: str, digest: str) -> ParsedClip:
    """Return a clip of the pictures uint8 [T, H, W, 3] of which nothing else is known: intact, without evidence."""
    t, height, width, _ = frames.shape
    grid16 = (t, -(-height // MB_SIZE), -(-width // MB_SIZE))
    grid8 = (t, -(-height // MV_BLOCK), -(-width // MV_BLOCK))
    return ParsedClip(
        frames=frames,
        picture_type=np.full(t, PictureType.UNKNOWN, np.uint8),
        mv_past=np.zeros((*grid8, 2), np.float32),
        mv_future=np.zeros((*grid8, 2), np.float32),
        mv_past_valid=np.zeros(grid8, bool),
        mv_future_valid=np.zeros(grid8, bool),
        past_reference=np.full(grid8, UNKNOWN_REFERENCE, np.int16),
        future_reference=np.full(grid8, UNKNOWN_REFERENCE, np.int16),
        mode=np.zeros(grid16, np.uint8),
        partition=np.zeros(grid16, np.uint8),
        qp=np.full(grid16, -1, np.int8),
        concealed=np.zeros(grid16, bool),
        noticed=np.zeros(grid16, bool),
        exhausted=np.zeros(t, bool),
        slice_start=np.zeros(grid16, bool),
        damage_trace=np.zeros(grid16, np.float32),
        lost=np.zeros(t, bool),
        is_corrupt=np.zeros(t, bool),
        status=np.full(t, AccessUnitStatus.INTACT, np.uint8),
        is_reference=np.ones(t, bool),
        is_key=np.zeros(t, bool),
        decode_index=np.zeros(t, np.int32),
        nal_units=np.zeros(0, NAL_UNIT),
        fps=fps,
        codec=codec,
        source_sha256=digest,
    )


def one_picture(decoding: Decoding, index: int) -> ParsedClip | None:
    """Return access unit `index` of a decoding as a clip of one picture, without what headers say; None: it gave none."""
    picture = decoding.pictures.get(index)
    if picture is None:
        return None
    number = list(decoding.pictures).index(index)
    clip = blank_clip(decoding.frames[number : number + 1].copy(), 0.0, "h264", "")
    _place(clip, 0, picture)
    if picture.planes is not None:
        clip.planes[0] = picture.planes
    return clip


def _place(clip: ParsedClip, slot: int, picture: Picture) -> None:
    """Write one picture's maps into its slot."""
    rows, columns = clip.mode.shape[1:]
    clip.picture_type[slot] = picture.picture_type
    past, past_valid, future, future_valid = picture.vectors
    clip.mv_past[slot], clip.mv_past_valid[slot] = past, past_valid
    clip.mv_future[slot], clip.mv_future_valid[slot] = future, future_valid
    clip.is_corrupt[slot] = picture.is_corrupt
    if picture.modes:
        clip.mode[slot], clip.partition[slot] = picture.modes
    else:
        clip.mode[slot] = modes_from_vectors(past_valid, future_valid, rows, columns)
    clip.qp[slot] = picture.qp


def _counts_pairs(unit: bytes, slices: list[NalUnit], sets: ParameterSets) -> bool:
    """Whether first_mb_in_slice counts pairs of macroblocks (MBAFF, 7.4.3), or macroblocks of fields: as high in a frame."""
    interlaced = [sps for sps in sets.sps.values() if not sps.frame_mbs_only]
    is_mbaff = any(sps.mb_adaptive_frame_field for sps in interlaced)
    return is_mbaff or (bool(interlaced) and sum(starts_picture(unit, nal) for nal in slices) > 1)


def _read_headers(clip: ParsedClip, units: list[bytes], order: list[int]) -> None:
    """Fill what the NAL unit and slice headers say: positions, references, key pictures, slice starts."""
    if clip.codec != "h264":
        read_other_headers(clip, units)
        return
    rows, columns = clip.mode.shape[1:]
    slots = np.argsort(order)
    table = []
    offset, sets = 0, ParameterSets()
    for slot, unit in zip(slots, units, strict=True):
        sets.update(unit)
        found = scan(unit)
        slices = [nal for nal in found if nal.is_slice]
        clip.is_reference[slot] = any(nal.ref_idc > 0 for nal in slices)
        is_idr = any(nal.type == NalType.IDR for nal in slices)
        clip.is_key[slot] = is_idr or (is_recovery_point(unit) and not clip.lost[slot])
        in_pairs = _counts_pairs(unit, slices, sets)
        for nal, end in zip(found, [*(nal.start for nal in found[1:]), len(unit)], strict=False):
            first, kind = slice_start(unit, nal) if nal.is_slice else (-1, -1)
            table.append((slot, nal.type, nal.ref_idc, offset + nal.start, end - nal.start, first, kind))
            row, column = first // columns * (2 if in_pairs else 1), first % columns
            if 0 <= row < rows:
                clip.slice_start[slot, row, column] = True
        offset += len(unit)
    clip.nal_units = np.array(table, NAL_UNIT)
