"""One damaged picture and what is known around it, gathered from a parsed clip."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from b2scvr.fill.flow import optical_flow, warp
from b2scvr.fill.vectors import Hypothesis, fuse, motion_from_vectors
from b2scvr.fill.velocity import intact_beyond, steady_motion
from b2scvr.ops.evidence import picture_evidence
from b2scvr.ops.masks import at_pixels
from b2scvr.ops.scenes import scene_numbers, trusted_macroblocks
from b2scvr.types import CANDIDATES, MB_SIZE, MV_BLOCK, AccessUnitStatus, ParsedClip, Surroundings, array_fields

BEFORE, AFTER = 2, 1  # intact pictures on each side of the damaged one
STEADY_WEIGHT = 0.5  # of constant velocity, beside the votes of vectors (vectors.LINK_WEIGHT)
BETWEEN_WEIGHT = 16.0  # of motion between the pictures on both sides, divided by the square of their distance


def surroundings(clip: ParsedClip, index: int) -> Surroundings:
    """Return what surrounds picture `index` of `clip` (display order): window, motion, candidates, evidence.

    Candidates: "decoded", as the decoder left it, but for what it had read and overwrote (types.Overwritten); "before" and
    "after", the nearest intact picture on that side matched to the fill; "steady", the anchor moved on at constant
    velocity; "between", moved by the motion between both sides; "fill", moved by all that is known.

    The anchor is the nearest intact picture; the motion into it is fused from three hypotheses: constant velocity, the
    flow between the intact pictures on both sides, and the vectors of other pictures. The fill is the anchor moved along
    it. The window always has BEFORE + 1 + AFTER pictures, so that pictures can be batched: where a clip has no intact
    picture on one side, one of the other side stands in, and the damaged picture itself where there is none. Pictures
    beyond a scene cut count as not intact.
    """
    clip = _of_one_scene(clip, index)
    slots = _window(clip, index)
    decoded = clip.frames[index]
    neighbours = [slot for slot in slots if slot != index]
    if not neighbours:
        return _pack(clip, index, slots, np.zeros((len(slots), *decoded.shape[:2], 2), np.float32), {})
    anchor = min(neighbours, key=lambda slot: (abs(slot - index), slot))
    steady = _steady(clip, index, anchor)
    hypotheses = [steady]
    before, after = slots[BEFORE - 1], slots[-1]
    between = None
    if before < index < after:
        between = steady_motion(clip, index, anchor, after if anchor == before else before)
        hypotheses.append(Hypothesis(between, BETWEEN_WEIGHT / (after - before) ** 2))
    told = fuse(hypotheses, motion_from_vectors(clip, index, anchor))
    guesses = {
        "fill": warp(clip.frames[anchor], told),
        "steady": warp(clip.frames[anchor], steady.motion),
    }
    motion = np.stack([_motion_into(clip, slot, index, anchor, told, guesses["fill"]) for slot in slots])
    guesses["before"], guesses["after"] = (
        warp(clip.frames[before], motion[BEFORE - 1]),
        warp(clip.frames[after], motion[-1]),
    )
    guesses["between"] = warp(clip.frames[anchor], between) if between is not None else guesses["steady"]
    return _pack(clip, index, slots, motion, guesses)


def _of_one_scene(clip: ParsedClip, index: int) -> ParsedClip:
    """Return `clip` in which the intact pictures beyond a cut near picture `index` count as damaged."""
    intact = clip.status == AccessUnitStatus.INTACT
    before, after = _intact_around(clip, index)
    first, last = min([*before[:BEFORE], index]), max([*after[:AFTER], index])
    span = slice(first, last + 1)
    scenes = scene_numbers(clip.frames[span], intact[span], trusted_macroblocks(clip, span), clip.is_key[span])
    if not scenes.any():
        return clip
    others = np.pad(scenes, (first, len(clip) - 1 - last), "edge") != scenes[index - first]
    return dataclasses.replace(
        clip, status=np.where(others & intact, AccessUnitStatus.DEPENDENT, clip.status).astype(np.uint8)
    )


def _window(clip: ParsedClip, index: int) -> list[int]:
    """Display indices of the window: intact pictures nearest to `index`, itself at position BEFORE."""
    before, after = _intact_around(clip, index)
    stand_ins = before or after or [index]
    earlier = ((before or after) + stand_ins[-1:] * BEFORE)[:BEFORE]
    later = (after or stand_ins[:1])[:AFTER]
    return [*reversed(earlier), index, *later]


def _intact_around(clip: ParsedClip, index: int) -> tuple[list[int], list[int]]:
    """Display indices of the intact pictures before and after `index`, the nearest first."""
    intact = np.flatnonzero(clip.status == AccessUnitStatus.INTACT)
    return intact[intact < index][::-1].tolist(), intact[intact > index].tolist()


def _steady(clip: ParsedClip, index: int, anchor: int) -> Hypothesis:
    """Motion from `index` to `anchor` if all moves on as beyond the anchor; none, and little weight, where that is unknown."""
    beyond = intact_beyond(clip, index, anchor)
    if beyond is None:
        return Hypothesis(np.zeros((*clip.frames.shape[1:3], 2), np.float32), STEADY_WEIGHT / 64)
    scale = (anchor - index) / (beyond - anchor)
    return Hypothesis(steady_motion(clip, index, anchor, beyond), STEADY_WEIGHT / max(scale, 1 / scale) ** 2)


def _motion_into(
    clip: ParsedClip, slot: int, index: int, anchor: int, told: np.ndarray, fill: np.ndarray
) -> np.ndarray:
    """Motion from picture `index` to picture `slot`: given for the anchor, matched from the fill for the others."""
    if slot == index:
        return np.zeros_like(told)
    if slot == anchor:
        return told
    return optical_flow(fill, clip.frames[slot], told * np.float32((slot - index) / (anchor - index)))


def _as_read(clip: ParsedClip, index: int) -> tuple[ParsedClip, np.ndarray | None]:
    """Return picture `index` as a clip of its own, with what the decoder had read before it concealed it.

    And which macroblocks of that may be garbage, bool [h, w]; None: nothing.
    """
    fields: dict[str, Any] = {
        name: value[index : index + 1] for name, value in array_fields(clip).items() if name != "nal_units"
    }
    found = clip.overwritten.get(index)
    if found is None:
        return dataclasses.replace(clip, **fields), None
    there = found.macroblocks
    for name, value in array_fields(found).items():
        if name in fields:
            cells = MB_SIZE if name == "frames" else MB_SIZE // MV_BLOCK if name.startswith("mv_") else 1
            read = there.repeat(cells, 0).repeat(cells, 1)[: value.shape[0], : value.shape[1]]
            fields[name] = np.where(read.reshape(1, *read.shape, *(1 for _ in value.shape[2:])), value, fields[name])
    for name in ("concealed", "damage_trace"):
        fields[name] = np.where(there, np.zeros_like(fields[name]), fields[name])
    # A repaired stream may seem to be cut off in what is left of its damage, when the one that came was not.
    return dataclasses.replace(clip, **fields), None if found.arrived and clip.is_cut_off else there


def _pack(
    clip: ParsedClip, index: int, slots: list[int], motion: np.ndarray, guesses: dict[str, np.ndarray]
) -> Surroundings:
    own, distrusted = _as_read(clip, index)
    decoded, concealed = own.frames[0], own.concealed[0]
    height, width = decoded.shape[:2]
    trusted = at_pixels(~concealed if distrusted is None else ~(concealed | distrusted), height, width)
    window = clip.frames[slots]
    window[BEFORE] = decoded
    pictures = [decoded if name == "decoded" else guesses.get(name, decoded) for name in CANDIDATES]
    known = [trusted if name == "decoded" else np.full((height, width), name in guesses) for name in CANDIDATES]
    broken = bool(clip.status[index] == AccessUnitStatus.BROKEN)
    return Surroundings(
        index=index,
        window=window,
        current=BEFORE,
        distance=np.array(slots, np.float32) - index,
        motion=motion,
        candidates=np.stack(pictures),
        candidate_valid=np.stack(known).astype(np.float32),
        evidence=picture_evidence(own, 0, broken),
        damage_trace=own.damage_trace[0],
        concealed=concealed,
        slice_start=clip.slice_start[index],
        broken=broken,
        distrusted=distrusted,
    )
