"""The carriers: all that crosses a border between two stages, with shape, axis order, dtype, range and unit of each field.

Legend: T access units in display order, H and W picture height and width in pixels, h = ceil(H/16) and w = ceil(W/16)
macroblock rows and columns, N pictures of a window, K candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from enum import IntEnum

import numpy as np

MB_SIZE = 16  # luma samples on a side of a macroblock (H.264 3.97)
MV_BLOCK = 8  # pixels on a side of a cell of the dense vector fields
PARSER_VERSION = 10  # raised whenever the same bytes would give another ParsedClip

Progress = Callable[[str, int, int], None]  # stage, done, total
FirstMask = tuple[int, np.ndarray]  # display index and mask, uint8 [H, W], of the first damaged picture of a clip

UNKNOWN_REFERENCE, MISSING_REFERENCE = -1, -2  # of a vector: not told; a picture that the stream does not hold
NAL_UNIT = np.dtype(
    [
        ("slot", "<i4"),  # display index of the picture that it belongs to, -1 behind the last picture
        ("type", "u1"),  # nal_unit_type
        ("ref_idc", "u1"),  # nal_ref_idc
        ("offset", "<i8"),  # of its start code in the elementary stream, in bytes
        ("size", "<i8"),  # in bytes, the start code included
        ("first_mb", "<i4"),  # first_mb_in_slice, -1 where it is no slice or its header cannot be read
        ("slice_type", "i1"),  # 0..9 (table 7-6), -1 likewise
    ]
)


class AccessUnitStatus(IntEnum):
    """What happened to an access unit (one coded picture)."""

    INTACT = 0  # decoded from undamaged bits and undamaged references
    BROKEN = 1  # lost bits of its own: the decoder invented macroblocks
    DEPENDENT = 2  # its own bits arrived; damaged only because it predicts from damaged pictures
    LOST = 3  # gave no picture at all


NOT_WHOLE = (AccessUnitStatus.BROKEN, AccessUnitStatus.LOST)  # bits of its own are missing


class PictureType(IntEnum):
    """Type of the coded picture as the decoder reports it."""

    I = 0  # noqa: E741 - the standard's own name
    P = 1
    B = 2
    UNKNOWN = 255


class PredictionMode(IntEnum):
    """How a macroblock was predicted (H.264 tables 7-11, 7-13, 7-14, grouped by what they say about damage)."""

    UNKNOWN = 0
    INTRA_NXN = 1  # intra 4x4 or 8x8
    INTRA_16X16 = 2
    PCM = 3
    SKIP = 4
    DIRECT = 5
    PAST = 6  # inter, list 0 only
    FUTURE = 7  # inter, list 1 only
    BOTH = 8  # inter, both lists


class Partition(IntEnum):
    """How an inter macroblock is split."""

    WHOLE = 0
    ROWS = 1  # 16x8
    COLUMNS = 2  # 8x16
    QUARTERS = 3  # 8x8 and smaller


@dataclass
class Planes:
    """The decoder's own samples of one picture: luma y [H, W], chroma u and v smaller as the chroma format says.

    uint8, or uint16 where a sample has more than 8 bits. Of monochrome pictures u and v are 4:2:0 without colour.
    """

    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    interlaced: bool = False  # two fields: each has chroma of its own, in the rows of its parity

    def has_samples_of(self, other: Planes) -> bool:
        """Whether all samples are those of `other`."""
        return all(map(np.array_equal, (self.y, self.u, self.v), (other.y, other.u, other.v)))


@dataclass
class Overwritten:
    """Macroblocks of a broken picture that were decoded, and then concealed because an error came soon after."""

    macroblocks: np.ndarray  # bool [h, w], which they are
    arrived: bool  # True: they are as they were sent; False: some of them may be garbage
    proven: bool  # it was seen that bits ran out (missing_ends.py); else, in CABAC, it only seems so, and may be garbage too
    frames: np.ndarray  # uint8 [H, W, 3] RGB, what was decoded, right or not; the rest of the picture is black
    mode: np.ndarray  # this and what follows: as in ParsedClip, of one picture
    partition: np.ndarray
    qp: np.ndarray
    mv_past: np.ndarray
    mv_past_valid: np.ndarray
    mv_future: np.ndarray
    mv_future_valid: np.ndarray
    planes: Planes  # the rest is zero


@dataclass
class ParsedClip:
    """A decoded clip and all that its bitstream says about the damage. Display order; one slot per access unit."""

    frames: np.ndarray  # uint8 [T, H, W, 3] RGB
    picture_type: np.ndarray  # uint8 [T] of PictureType
    mv_past: np.ndarray  # float32 [T, ceil(H/8), ceil(W/8), 2] (x, y) pixels, current block -> its reference in list 0
    mv_future: np.ndarray  # float32, the same for list 1
    mv_past_valid: np.ndarray  # bool [T, ceil(H/8), ceil(W/8)]
    mv_future_valid: np.ndarray  # bool [T, ceil(H/8), ceil(W/8)]
    past_reference: np.ndarray  # int16 [T, ceil(H/8), ceil(W/8)], display index of the picture that the vector means,
    # or UNKNOWN_REFERENCE (also where there is no vector), or MISSING_REFERENCE
    future_reference: np.ndarray  # int16, the same for list 1
    mode: np.ndarray  # uint8 [T, h, w] of PredictionMode
    partition: np.ndarray  # uint8 [T, h, w] of Partition
    qp: np.ndarray  # int8 [T, h, w], 0..51, -1 unknown
    concealed: np.ndarray  # bool [T, h, w], the decoder invented this macroblock
    noticed: (
        np.ndarray
    )  # bool [T, h, w], here the entropy decoder noticed an error, or at the slice's end if it read beyond
    exhausted: np.ndarray  # bool [T], all that it noticed in the picture was that bits ran out or slices are not there
    slice_start: np.ndarray  # bool [T, h, w], first macroblock of a slice
    damage_trace: np.ndarray  # float32 [T, h, w] in [0, 1], concealment carried along vectors
    lost: np.ndarray  # bool [T]
    is_corrupt: np.ndarray  # bool [T], the decoder's own flag
    status: np.ndarray  # uint8 [T] of AccessUnitStatus
    is_reference: np.ndarray  # bool [T], other pictures may predict from it (nal_ref_idc > 0)
    is_key: np.ndarray  # bool [T], IDR or recovery point: nothing decoded and shown later refers to what came before
    decode_index: np.ndarray  # int32 [T], position of the access unit in the file (decoding order)
    nal_units: np.ndarray  # NAL_UNIT [N], the NAL units of the elementary stream in file order (H.264; else empty)
    fps: float
    codec: str  # FFmpeg's name, e.g. "h264"
    source_sha256: str
    colour: tuple[str, bool] = (
        "bt601",
        False,
    )  # matrix between the decoder's samples and RGB, and whether they use the full range
    pixel_format: str = "yuv420p"  # of the decoder's samples, by FFmpeg's name
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)  # coded but not shown: left, right, top, bottom
    planes: dict[int, Planes] = field(default_factory=dict)  # decoder samples by display index, of pictures that
    # are broken or predict from access units that are not in the stream; whole macroblocks: what is not shown is there too
    overwritten: dict[int, Overwritten] = field(default_factory=dict)  # by display index, of broken pictures
    sources: dict[str, str] = field(default_factory=dict)  # field -> where it was read, in words
    parser_version: int = PARSER_VERSION
    notes: tuple[str, ...] = ()  # evidence that is missing, in words

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def is_cut_off(self) -> bool:
        """Whether slices lost their ends or are not there, and nothing else, as with lost packets: the rest is right then.

        Where bits are missing inside a slice, garbage mostly reads as an error before the bits run out. It can also seem to be
        the end of a slice, as if another one were missing: one picture alone without any error tells nothing.
        """
        noticed = self.noticed.any(axis=(1, 2))
        told = noticed | (self.exhausted & ~self.lost)
        return bool(told.any() and self.exhausted[told].all() and (noticed.any() or told.sum() > 1))

    def in_decoding_order(self) -> Iterator[tuple[int, int]]:
        """Yield the display index of each picture, in decoding order, and that of the key picture its period begins with.

        Before the first key picture that is -1. A leading picture, shown before the key picture of its period, belongs to the
        period before as well.
        """
        key = -1
        for slot in np.argsort(self.decode_index, kind="stable").tolist():
            key = slot if self.is_key[slot] else key
            yield slot, key

    def validate(self) -> ParsedClip:
        """Return self; raise ValueError naming the field whose shape or type is not as declared."""
        t, height, width, _ = self.frames.shape
        grid16 = (t, -(-height // MB_SIZE), -(-width // MB_SIZE))
        grid8 = (t, -(-height // MV_BLOCK), -(-width // MV_BLOCK))
        expected: dict[str, tuple[tuple[int, ...], type | np.dtype]] = {
            "frames": ((t, height, width, 3), np.uint8), "picture_type": ((t,), np.uint8), "status": ((t,), np.uint8),
            "mv_past": ((*grid8, 2), np.float32), "mv_future": ((*grid8, 2), np.float32),
            "mv_past_valid": (grid8, np.bool_), "mv_future_valid": (grid8, np.bool_),
            "past_reference": (grid8, np.int16), "future_reference": (grid8, np.int16), "noticed": (grid16, np.bool_),
            "nal_units": (self.nal_units.shape, NAL_UNIT), "mode": (grid16, np.uint8),
            "partition": (grid16, np.uint8), "qp": (grid16, np.int8),
            "concealed": (grid16, np.bool_), "slice_start": (grid16, np.bool_), "damage_trace": (grid16, np.float32),
            "lost": ((t,), np.bool_), "exhausted": ((t,), np.bool_), "is_corrupt": ((t,), np.bool_),
            "decode_index": ((t,), np.int32),
        }  # fmt: skip
        for name, (shape, dtype) in expected.items():
            _require(name, getattr(self, name), shape, dtype)
        return self


CANDIDATES = ("decoded", "before", "after", "steady", "between", "fill")  # see fill.surroundings


@dataclass
class Surroundings:
    """One damaged picture and what is known around it: the input of detection and of restoration.

    The window holds intact (or already repaired) pictures nearest in display order and the damaged one itself.
    `motion` leads from the damaged picture into each picture of the window. `candidates` are classical guesses of the
    damaged picture; candidate 0 is the decoder's own picture, the last one the best classical fill.
    """

    index: int  # display index of the damaged picture in its clip
    window: np.ndarray  # uint8 [N, H, W, 3], display order
    current: int  # position of the damaged picture in the window
    distance: np.ndarray  # float32 [N], display distance to the damaged picture, in pictures (negative = before)
    motion: np.ndarray  # float32 [N, H, W, 2] (x, y) pixels, damaged picture -> window picture; zero for `current`
    candidates: np.ndarray  # uint8 [K, H, W, 3], K = len(CANDIDATES)
    candidate_valid: np.ndarray  # float32 [K, H, W] in [0, 1], how far the candidate's source is known to be good
    evidence: np.ndarray  # float32 [C, h, w], see ops.evidence.CHANNELS
    damage_trace: np.ndarray  # float32 [h, w] in [0, 1]
    concealed: np.ndarray  # bool [h, w], the decoder invented it, less what it had decoded before (types.Overwritten)
    slice_start: np.ndarray  # bool [h, w]
    broken: (
        bool  # True: lost bits of its own, damage is a raster suffix of its slices; False: a dependent or lost picture
    )
    distrusted: np.ndarray | None = None  # bool [h, w], what it had decoded before and may be garbage; None: nothing

    def candidate(self, name: str) -> np.ndarray:
        """The candidate called `name` (one of CANDIDATES), uint8 [H, W, 3]; ValueError names an unknown one."""
        return self.candidates[CANDIDATES.index(name)]

    @property
    def decoded(self) -> np.ndarray:
        """The damaged picture as decoded, uint8 [H, W, 3]."""
        return self.candidates[0]

    @property
    def fill(self) -> np.ndarray:
        """The best classical fill, uint8 [H, W, 3]."""
        return self.candidates[-1]


@dataclass
class PictureDamage:
    """Where one picture is damaged, as a detector says."""

    macroblocks: np.ndarray  # float32 [h, w], probability that the macroblock is wrong
    mask: np.ndarray  # float32 [H, W], probability that the pixel is visibly wrong
    confidence: float  # in [0, 1]


@dataclass
class CorruptionMasks:
    """Masks of a clip: uint8 [T, H, W], 1 = corrupted; confidence float32 [T] in [0, 1]."""

    masks: np.ndarray
    confidence: np.ndarray

    @classmethod
    def blank(cls, clip: ParsedClip) -> CorruptionMasks:
        """Return the masks of a clip without damage."""
        return cls(np.zeros(clip.frames.shape[:3], np.uint8), np.ones(len(clip), np.float32))

    def validate(self, clip: ParsedClip) -> CorruptionMasks:
        """Return self; raise ValueError when the masks do not belong to `clip`."""
        _require("masks", self.masks, clip.frames.shape[:3], np.uint8)
        _require("confidence", self.confidence, (len(clip),), np.float32)
        return self


@dataclass
class RecoveredClip:
    """What recovery gives back."""

    frames: np.ndarray  # uint8 [T, H, W, 3] RGB, one per access unit
    masks: CorruptionMasks
    mode: str  # "splice", "drift", "frames" or "untouched"
    repaired: bytes | None  # the repaired H.264 elementary stream (splice mode) or None
    restored: tuple[int, ...]  # display indices of the pictures that were restored
    seconds: dict[str, float]  # per stage
    notes: tuple[str, ...] = ()
    stream_notes: tuple[str, ...] = ()  # how far `repaired` is larger than what came, and than its level allows
    added: tuple[int, ...] = ()  # display indices in `repaired` of pictures of which no access unit had arrived
    left: tuple[int, ...] = ()  # display indices of the pictures that are still damaged in `repaired`


class InputError(Exception):
    """An input that cannot be read; the message names the file, the reason and the way out. Exit code 3."""


class SpliceError(Exception):
    """A stream or picture that cannot be spliced; the message names the reason (and the H.264 clause)."""


def _require(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type | np.dtype) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: expected {np.dtype(dtype)} {list(shape)}, got {array.dtype} {list(array.shape)}")


def array_fields(carrier: object) -> dict[str, np.ndarray]:
    """Return the NumPy fields of a carrier by name."""
    return {f.name: value for f in fields(carrier) if isinstance(value := getattr(carrier, f.name), np.ndarray)}  # type: ignore[arg-type]
