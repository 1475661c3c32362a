"""What the decode loop collected -> ParsedClip: display order, aligned maps, status of every access unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from b2scvr.bitstream import damage_trace
from b2scvr.bitstream.bits import BitReader
from b2scvr.bitstream.display import display_order
from b2scvr.bitstream.nal import NalType, scan, unescape
from b2scvr.bitstream.prediction_modes import modes_from_vectors
from b2scvr.types import MB_SIZE, MV_BLOCK, AccessUnitStatus, ParsedClip, PictureType, Planes


@dataclass
class CodedClip:
    """A parsed clip together with its coded bytes (Annex B for H.264), one entry per access unit, in decoding order."""

    clip: ParsedClip
    access_units: list[bytes]
    suffix: bytes = b""  # bytes after the last picture that belong to none

    def stream(self) -> bytes:
        """Return the elementary stream."""
        return b"".join(self.access_units) + self.suffix


@dataclass
class Picture:
    """What one output frame told."""

    rgb: np.ndarray  # uint8 [H, W, 3]
    picture_type: int
    vectors: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # see motion_vectors.dense_vectors
    qp: np.ndarray | None  # [coded h, coded w]
    modes: tuple[np.ndarray, np.ndarray] | None  # (mode, partition), uint8 [h, w]
    is_corrupt: bool
    planes: Planes | None


@dataclass
class Decoding:
    """What the decode loop collects, by decode index."""

    pictures: dict[int, Picture] = field(default_factory=dict)
    concealed: dict[int, np.ndarray] = field(
        default_factory=dict
    )  # bool [coded h, coded w], only where decoding failed
    order: list[int] = field(default_factory=list)  # decode indices in output order
    size: tuple[int, int] | None = None  # (H, W)
    colour: tuple[str, bool] = ("bt601", False)


def assemble(decoding: Decoding, units: list[bytes], fps: float, codec: str, digest: str) -> ParsedClip:
    """Return the clip in display order with its statuses and damage trace. `units` are the access units in decoding order."""
    assert decoding.size is not None
    clip = _blank(len(units), *decoding.size, fps, codec, digest)
    clip.colour = decoding.colour
    order = display_order(decoding.order, len(units))
    clip.decode_index[:] = order
    previous = next(picture.rgb for picture in decoding.pictures.values())
    missing_modes = 0
    for slot, index in enumerate(order):
        picture = decoding.pictures.get(index)
        if picture is None:
            clip.lost[slot], clip.concealed[slot] = True, True
            clip.frames[slot], clip.status[slot] = previous, AccessUnitStatus.LOST
            continue
        previous = picture.rgb
        missing_modes += picture.modes is None
        _place(clip, slot, picture)
        if codec != "h264" and picture.is_corrupt:
            clip.status[slot] = AccessUnitStatus.BROKEN  # only H.264's decoder tells where
        if index in decoding.concealed:
            rows, columns = clip.concealed.shape[1:]
            clip.concealed[slot] = decoding.concealed[index][:rows, :columns]
            clip.status[slot] = AccessUnitStatus.BROKEN
            if picture.planes is not None:
                clip.planes[slot] = picture.planes
    if missing_modes:
        clip.notes += (
            f"{missing_modes} pictures without macroblock modes from the decoder: derived from their vectors",
        )
    if not (clip.mv_past_valid.any() or clip.mv_future_valid.any()):
        clip.notes += ("no motion vectors: an intra-only stream, or a codec whose decoder exports none",)
    _read_headers(clip, units, order)
    damage_trace.trace_damage(clip)
    return clip.validate()


def _blank(t: int, height: int, width: int, fps: float, codec: str, digest: str) -> ParsedClip:
    grid16 = (t, -(-height // MB_SIZE), -(-width // MB_SIZE))
    grid8 = (t, -(-height // MV_BLOCK), -(-width // MV_BLOCK))
    return ParsedClip(
        frames=np.zeros((t, height, width, 3), np.uint8),
        picture_type=np.full(t, PictureType.UNKNOWN, np.uint8),
        mv_past=np.zeros((*grid8, 2), np.float32),
        mv_future=np.zeros((*grid8, 2), np.float32),
        mv_past_valid=np.zeros(grid8, bool),
        mv_future_valid=np.zeros(grid8, bool),
        mode=np.zeros(grid16, np.uint8),
        partition=np.zeros(grid16, np.uint8),
        qp=np.full(grid16, -1, np.int8),
        concealed=np.zeros(grid16, bool),
        slice_start=np.zeros(grid16, bool),
        damage_trace=np.zeros(grid16, np.float32),
        lost=np.zeros(t, bool),
        is_corrupt=np.zeros(t, bool),
        status=np.full(t, AccessUnitStatus.INTACT, np.uint8),
        is_reference=np.ones(t, bool),
        is_key=np.zeros(t, bool),
        decode_index=np.zeros(t, np.int32),
        fps=fps,
        codec=codec,
        source_sha256=digest,
    )


def _place(clip: ParsedClip, slot: int, picture: Picture) -> None:
    """Write one picture's frame and maps into its slot."""
    rows, columns = clip.mode.shape[1:]
    clip.frames[slot], clip.picture_type[slot] = picture.rgb, picture.picture_type
    past, past_valid, future, future_valid = picture.vectors
    clip.mv_past[slot], clip.mv_past_valid[slot] = past, past_valid
    clip.mv_future[slot], clip.mv_future_valid[slot] = future, future_valid
    clip.is_corrupt[slot] = picture.is_corrupt
    if picture.modes:
        clip.mode[slot], clip.partition[slot] = picture.modes
    else:
        clip.mode[slot] = modes_from_vectors(past_valid, future_valid, rows, columns)
    if picture.qp is not None and picture.qp.shape[0] >= rows and picture.qp.shape[1] >= columns:
        clip.qp[slot] = np.clip(picture.qp[:rows, :columns], -1, 127)


def _read_headers(clip: ParsedClip, units: list[bytes], order: list[int]) -> None:
    """Fill what the NAL unit and slice headers say: references, key pictures, slice starts."""
    rows, columns = clip.mode.shape[1:]
    for slot, index in enumerate(order):
        if clip.codec != "h264":
            clip.is_key[slot] = clip.picture_type[slot] == PictureType.I
            continue
        unit = units[index]
        slices = [nal for nal in scan(unit) if nal.is_slice]
        clip.is_reference[slot] = any(nal.ref_idc > 0 for nal in slices)
        clip.is_key[slot] = any(nal.type == NalType.IDR for nal in slices)
        for nal in slices:
            first = BitReader(unescape(unit[nal.payload + 1 : nal.payload + 9])).ue()  # first_mb_in_slice, H.264 7.3.3
            if first < rows * columns:
                clip.slice_start[slot].reshape(-1)[first] = True
