"""What a stream is and what became of it, in figures: parameter sets, counts of pictures, one row an access unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.nal import SLICE_TYPES, scan
from b2scvr.bitstream.slice_header import MAX_HEADER_BYTES, parse_slice_header
from b2scvr.bitstream.syntax import ParameterSets, Pps, Sps
from b2scvr.types import MISSING_REFERENCE, UNKNOWN_REFERENCE, AccessUnitStatus, ParsedClip, PictureType, SpliceError

_PROFILES = {  # annex A.2 and G.6, H.6 of H.264
    44: "CAVLC 4:4:4 Intra", 66: "Baseline", 77: "Main", 83: "Scalable Baseline", 86: "Scalable High", 88: "Extended",
    100: "High", 110: "High 10", 118: "Multiview High", 122: "High 4:2:2", 128: "Stereo High",
    244: "High 4:4:4 Predictive",
}  # fmt: skip
_BASELINE, _LEVEL_1B, _LEVEL_11 = 66, 9, 11
_BEFORE_HIGH = (66, 77, 88)  # profiles in which constraint_set3_flag means level 1b (A.3.1)
_SET1, _SET3, _SET4, _SET5 = 0x40, 0x10, 0x08, 0x04  # constraint_setN_flag in the byte that holds them
_CHROMA = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")  # by chroma_format_idc, table 6-1
_UNKNOWN_TYPE = "?"
_DERIVED = "derived from the vectors"  # in a clip's sources


@dataclass(frozen=True)
class Coding:
    """What the parameter sets that a slice of an H.264 stream uses say."""

    profile: str
    level: str
    entropy_coding: str  # "CABAC" or "CAVLC"
    chroma: str
    bit_depth: int
    interlaced: bool  # field pictures or MBAFF are possible
    reference_frames: int  # max_num_ref_frames
    transform_8x8: bool
    weighted_prediction: bool


@dataclass(frozen=True)
class AccessUnit:
    """One coded picture."""

    display_index: int
    decode_index: int
    type: str  # "I", "P", "B" or "?"
    key: bool
    reference: bool | None  # other pictures may predict from it; None where the codec's headers are not read
    offset: int  # of its first byte in the elementary stream
    size: int  # bytes
    slices: int | None  # None where the codec's headers are not read
    status: str
    concealed: float  # share of its macroblocks that the decoder invented, 0..1
    trace: float  # mean damage trace, 0..1


@dataclass(frozen=True)
class Summary:
    """A stream in figures. Pictures are named by display index."""

    codec: str
    width: int
    height: int
    fps: float
    pictures: int
    seconds: float
    bytes: int  # of the elementary stream
    sha256: str  # of the file
    coding: list[Coding]  # each set of parameters in use, in order of appearance; empty where they are not read
    slices_a_picture: tuple[int, int] | None  # fewest and most
    references_used: int | None  # most pictures that one picture's vectors mean; None where that is not known
    missing_references: int  # 8x8 blocks with a vector into a picture that the stream does not hold
    unknown_references: int  # 8x8 blocks with a vector whose picture is not known
    types: dict[str, int]
    statuses: dict[str, int]
    key: list[int]
    broken: list[int]
    dependent: list[int]
    lost: list[int]
    concealed: float  # share of all macroblocks, 0..1
    noticed: int  # places where the entropy decoder noticed an error
    sources: dict[str, str] = field(default_factory=dict)  # evidence -> where it was read
    absent: dict[str, str] = field(default_factory=dict)  # evidence that this stream does not give -> why
    notes: list[str] = field(default_factory=list)  # of the reader, in words


def summarise(coded: CodedClip) -> Summary:
    """Return the summary of a parsed stream."""
    clip = coded.clip
    slices = _slices(clip)
    status = {kind: np.flatnonzero(clip.status == kind).tolist() for kind in AccessUnitStatus}
    references = np.stack([clip.past_reference, clip.future_reference])
    valid = np.stack([clip.mv_past_valid, clip.mv_future_valid])
    types = [type_name(kind) for kind in clip.picture_type]
    return Summary(
        codec=clip.codec,
        width=clip.frames.shape[2],
        height=clip.frames.shape[1],
        fps=clip.fps,
        pictures=len(clip),
        seconds=len(clip) / clip.fps if clip.fps > 0 else 0.0,
        bytes=sum(map(len, coded.access_units)) + len(coded.suffix),
        sha256=clip.source_sha256,
        coding=_codings(coded) if clip.codec == "h264" else [],
        slices_a_picture=(int(slices.min()), int(slices.max())) if slices is not None else None,
        references_used=_most_references(references),
        missing_references=int((references == MISSING_REFERENCE).sum()),
        unknown_references=int(((references == UNKNOWN_REFERENCE) & valid).sum()),
        types={name: types.count(name) for name in dict.fromkeys(("I", "P", "B", *types))},
        statuses={kind.name.lower(): len(pictures) for kind, pictures in status.items()},
        key=np.flatnonzero(clip.is_key).tolist(),
        broken=status[AccessUnitStatus.BROKEN],
        dependent=status[AccessUnitStatus.DEPENDENT],
        lost=status[AccessUnitStatus.LOST],
        concealed=float(clip.concealed.mean()),
        noticed=int(clip.noticed.sum()),
        sources=dict(clip.sources),
        absent=absent_evidence(clip),
        notes=list(clip.notes),
    )


def access_units(coded: CodedClip) -> list[AccessUnit]:
    """Return one row an access unit, in display order."""
    clip = coded.clip
    sizes = np.array([len(unit) for unit in coded.access_units], np.int64)
    offsets = np.cumsum(sizes) - sizes
    slices = _slices(clip)
    rows = []
    for slot, index in enumerate(clip.decode_index.tolist()):
        rows.append(
            AccessUnit(
                display_index=slot,
                decode_index=index,
                type=type_name(clip.picture_type[slot]),
                key=bool(clip.is_key[slot]),
                reference=bool(clip.is_reference[slot]) if slices is not None else None,
                offset=int(offsets[index]),
                size=int(sizes[index]),
                slices=int(slices[slot]) if slices is not None else None,
                status=AccessUnitStatus(int(clip.status[slot])).name.lower(),
                concealed=float(clip.concealed[slot].mean()),
                trace=float(clip.damage_trace[slot].mean()),
            )
        )
    return rows


def absent_evidence(clip: ParsedClip) -> dict[str, str]:
    """Return the evidence that no picture of the clip has, each with the reason: {"vectors": "every picture is intra"}.

    The names: vectors, mode, qp, concealed, noticed, damage_trace, slices.
    """
    found: dict[str, str] = {}
    only_h264 = f"told for H.264 only, this is {clip.codec}"
    if not (clip.mv_past_valid.any() or clip.mv_future_valid.any()):
        intra = bool((clip.picture_type == PictureType.I).all())
        found["vectors"] = "every picture is intra" if intra else f"the {clip.codec} decoder tells none"
        if _DERIVED in clip.sources.get("mode", _DERIVED):
            found["mode"] = f"the {clip.codec} decoder tells none"
    if not (clip.qp >= 0).any():
        found["qp"] = f"the {clip.codec} decoder tells none"
    if clip.codec != "h264":
        found |= {"noticed": only_h264, "slices": only_h264}
        if not clip.concealed.any():  # a lost picture is known to be invented, whatever the codec
            found |= {"concealed": only_h264, "damage_trace": only_h264}
    return found


def type_name(kind: int) -> str:
    """Return "I", "P" or "B" for a PictureType, "?" for an unknown one."""
    return _UNKNOWN_TYPE if kind == PictureType.UNKNOWN else PictureType(int(kind)).name


def profile_name(profile_idc: int, constraint_flags: int) -> str:
    """Return the name of an H.264 profile (A.2); constraint_flags: the byte behind profile_idc."""
    name = _PROFILES.get(profile_idc, f"profile {profile_idc}")
    if profile_idc == _BASELINE and constraint_flags & _SET1:
        return f"Constrained {name}"
    if name == "High" and constraint_flags & _SET4:
        return f"{'Constrained' if constraint_flags & _SET5 else 'Progressive'} {name}"
    if profile_idc in (110, 122, 244) and constraint_flags & _SET3:
        return f"{name.removesuffix(' Predictive')} Intra"
    return name


def level_name(level_idc: int, profile_idc: int, constraint_flags: int) -> str:
    """Return the number of an H.264 level (A.3): "3.1", "1b"."""
    flagged = profile_idc in _BEFORE_HIGH and level_idc == _LEVEL_11 and constraint_flags & _SET3
    if flagged or level_idc == _LEVEL_1B:
        return "1b"
    return f"{level_idc // 10}" if level_idc % 10 == 0 else f"{level_idc // 10}.{level_idc % 10}"


def _coding(sps: Sps, pps: Pps) -> Coding:
    return Coding(
        profile=profile_name(sps.profile_idc, sps.constraint_flags),
        level=level_name(sps.level_idc, sps.profile_idc, sps.constraint_flags),
        entropy_coding="CABAC" if pps.cabac else "CAVLC",
        chroma=_CHROMA[sps.chroma_format_idc],
        bit_depth=max(sps.bit_depth_luma, sps.bit_depth_chroma),
        interlaced=not sps.frame_mbs_only,
        reference_frames=sps.max_num_ref_frames,
        transform_8x8=pps.transform_8x8_mode,
        weighted_prediction=pps.weighted_pred or pps.weighted_bipred_idc > 0,
    )


def _codings(coded: CodedClip) -> list[Coding]:
    """Return what the parameter sets of each access unit's first readable slice say, each once."""
    sets = ParameterSets()
    found: dict[Coding, None] = {}
    for unit in coded.access_units:
        sets.update(unit)
        for nal in scan(unit):
            if nal.type not in SLICE_TYPES:
                continue
            try:
                header = parse_slice_header(unit[nal.payload : min(nal.end, nal.payload + MAX_HEADER_BYTES)], sets)
                found.setdefault(_coding(*sets.of_slice(header.pps_id)))
            except SpliceError:
                continue  # a damaged header names no parameter set; another slice will
            break
    return list(found)


def _slices(clip: ParsedClip) -> np.ndarray | None:
    """Return the number of slices of each picture, int [T]; None for codecs whose headers are not read."""
    if not len(clip.nal_units):
        return None
    units = clip.nal_units[np.isin(clip.nal_units["type"], list(SLICE_TYPES)) & (clip.nal_units["slot"] >= 0)]
    return np.bincount(units["slot"], minlength=len(clip))


def _most_references(references: np.ndarray) -> int | None:
    """Return how many pictures the vectors of one picture mean at most; references: int16 [2, T, ., .]."""
    counts = [len(np.unique(found[found >= 0])) for found in references.swapaxes(0, 1)]
    return max(counts) if any(counts) else None
