"""What is done to a training sample on the way to the network: boxes, mirror images, colours, masks that are not quite right.

Every function draws from the generator it is given and leaves its input as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from b2scvr.data.sample import Box, TrainingSample
from b2scvr.ops.evidence import CHANNELS
from b2scvr.types import MB_SIZE

DAMAGED_BOX_SHARE = 0.9  # of the boxes are drawn around a damaged macroblock
CHANGE_BAND_SHARE = 0.7  # of the bands are drawn around the first wrong macroblock
# The shipped detector's beginnings in 90 pictures of validation: 2 exact, 12 early by 13 macroblocks on average, 76 late by 42.
EXACT_SHARE, EARLY_SHARE = 0.2, 0.15  # of the jittered masks; the rest begins late
EARLY_MACROBLOCKS, LATE_MACROBLOCKS = 12.0, 40.0  # mean distance of a jittered beginning
RAMP_SHARE, LONGEST_RAMP = 0.3, 16  # masks that fade in, as a detector's probabilities do; macroblocks
GAIN, OFFSET = (0.8, 1.2), (-20.0, 20.0)  # of a colour channel, in levels of 255
PERMUTE_SHARE = 0.25
LARGEST_DILATION_PX = 16


def draw_box(rng: np.random.Generator, damaged: np.ndarray, picture: tuple[int, int], crop: tuple[int, int]) -> Box:
    """Return a box of `crop` (height, width) pixels of whole macroblocks inside `picture` (H, W), mostly with damage in it.

    damaged: bool [h, w]. Raises ValueError when the crop is not on the grid or larger than the picture.
    """
    if crop[0] % MB_SIZE or crop[1] % MB_SIZE or min(crop) < MB_SIZE:
        raise ValueError(f"crop {crop} must be multiples of {MB_SIZE}: evidence is known by macroblock")
    size = crop[0] // MB_SIZE, crop[1] // MB_SIZE
    whole = picture[0] // MB_SIZE, picture[1] // MB_SIZE
    if size[0] > whole[0] or size[1] > whole[1]:
        raise ValueError(f"crop {crop} does not fit into a picture of {picture}")
    hits = np.argwhere(damaged[: whole[0], : whole[1]])
    around = len(hits) > 0 and rng.random() < DAMAGED_BOX_SHARE
    centre = hits[rng.integers(len(hits))] if around else None
    top, left = (_draw_offset(rng, size[i], whole[i], None if centre is None else int(centre[i])) for i in (0, 1))
    return Box(top, left, *size)


def draw_band(rng: np.random.Generator, wrong: np.ndarray, picture: tuple[int, int], rows: int) -> Box:
    """Return a box of `rows` macroblock rows over the full width, mostly with the first wrong macroblock in it.

    wrong: bool [h, w]; picture: (H, W) pixels. Raises ValueError when the picture has fewer whole rows.
    """
    whole = picture[0] // MB_SIZE
    if rows > whole:
        raise ValueError(f"a band of {rows} macroblock rows does not fit into a picture {picture[0]} pixels high")
    first = np.flatnonzero(wrong.any(axis=1))
    inside = first.size > 0 and first[0] < whole and rng.random() < CHANGE_BAND_SHARE
    return Box(_draw_offset(rng, rows, whole, int(first[0]) if inside else None), 0, rows, wrong.shape[1])


def start_slices(sample: TrainingSample) -> TrainingSample:
    """Return a band with its first macroblock counted as a slice start.

    In a slice, damage is a suffix in raster order; a band cuts the slice's beginning off. What is left is a slice's
    end: still a suffix, whose change point is the band's first macroblock when the damage began above it.
    """
    around = sample.surroundings
    starts, evidence = around.slice_start.copy(), around.evidence.copy()
    starts[0, 0] = True
    evidence[CHANNELS.index("slice_start"), 0, 0] = 1
    return replace(sample, surroundings=replace(around, slice_start=starts, evidence=evidence))


def mirror(sample: TrainingSample) -> TrainingSample:
    """Return the sample mirrored left to right; x of motion and of the evidence's vectors changes sign.

    Not for detection: the raster order of slices has no mirror image. The width must be whole macroblocks, otherwise
    the grid would not fall onto itself (ValueError).
    """
    around = sample.surroundings
    if sample.mask.shape[1] % MB_SIZE:
        raise ValueError(f"a picture {sample.mask.shape[1]} pixels wide can't be mirrored on the grid of {MB_SIZE}")
    motion = around.motion[:, :, ::-1] * np.array([-1, 1], np.float32)
    evidence = around.evidence[..., ::-1].copy()
    evidence[[CHANNELS.index("past_x"), CHANNELS.index("future_x")]] *= -1
    mirrored = replace(
        around,
        window=around.window[:, :, ::-1],
        motion=motion,
        candidates=around.candidates[:, :, ::-1],
        candidate_valid=around.candidate_valid[..., ::-1],
        evidence=evidence,
        damage_trace=around.damage_trace[:, ::-1],
        concealed=around.concealed[:, ::-1],
        slice_start=around.slice_start[:, ::-1],
    )
    return replace(
        sample,
        surroundings=mirrored,
        target=sample.target[:, ::-1],
        mask=sample.mask[:, ::-1],
        wrong=sample.wrong[:, ::-1],
    )


def recolour(rng: np.random.Generator, sample: TrainingSample) -> TrainingSample:
    """Return the sample with one drawn `recolouring` in all pictures."""
    changed, around = recolouring(rng), sample.surroundings
    recoloured = replace(around, window=changed(around.window), candidates=changed(around.candidates))
    return replace(sample, surroundings=recoloured, target=changed(sample.target))


def recolouring(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Return a drawn change of pictures uint8 [..., 3]: a gain and offset a channel, sometimes another order of channels."""
    levels = np.arange(256)[:, None] * rng.uniform(*GAIN, 3) + rng.uniform(*OFFSET, 3)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    order = rng.permutation(3) if rng.random() < PERMUTE_SHARE else np.arange(3)

    def changed(pictures: np.ndarray) -> np.ndarray:
        return np.stack([table[:, i][pictures[..., channel]] for i, channel in enumerate(order)], axis=-1)

    return changed


def damage_suffix(wrong: np.ndarray, slice_start: np.ndarray, shift: int = 0, ramp: int = 0) -> np.ndarray:
    """Return float32 [h, w]: 1 from the first wrong macroblock of each slice to the slice's end, in raster order.

    wrong, slice_start: bool [h, w]. The beginning is moved by `shift` macroblocks (negative = earlier, at most to the
    slice's start); over the `ramp` macroblocks before it the values rise from 0 to 1.
    """
    flat, out = wrong.reshape(-1), np.zeros(wrong.size, np.float32)
    starts = np.union1d([0], np.flatnonzero(slice_start))
    for start, end in zip(starts, [*starts[1:], wrong.size], strict=True):
        hits = np.flatnonzero(flat[start:end])
        if hits.size:
            change = max(int(hits[0]) + shift, 0)
            position = np.arange(end - start)
            out[start:end] = np.clip((position - change + ramp + 1) / (ramp + 1), 0, 1)
    return out.reshape(wrong.shape)


def draw_suffix(rng: np.random.Generator, wrong: np.ndarray, slice_start: np.ndarray) -> np.ndarray:
    """Return `damage_suffix`, float32 [h, w], with a beginning that is right, early or late, and sometimes fades in.

    That is what detectors say. wrong, slice_start: bool [h, w].
    """
    kind, distance = rng.random(), rng.exponential()
    shift = 0
    if EXACT_SHARE <= kind < EXACT_SHARE + EARLY_SHARE:
        shift = -round(distance * EARLY_MACROBLOCKS)
    elif kind >= EXACT_SHARE + EARLY_SHARE:
        shift = round(distance * LATE_MACROBLOCKS)
    ramp = int(rng.integers(1, LONGEST_RAMP + 1)) if rng.random() < RAMP_SHARE else 0
    return damage_suffix(wrong, slice_start, shift, ramp)


def draw_dilation(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Return `mask` uint8 [H, W] as float32, dilated by a square of a drawn size."""
    side = int(rng.integers(0, LARGEST_DILATION_PX + 1)) * 2 + 1
    return cv2.dilate(np.ascontiguousarray(mask), np.ones((side, side), np.uint8)).astype(np.float32)


def _draw_offset(rng: np.random.Generator, size: int, whole: int, contains: int | None) -> int:
    lowest, highest = 0, whole - size
    if contains is not None:
        lowest, highest = max(lowest, contains - size + 1), min(highest, contains)
    return int(rng.integers(lowest, highest + 1))
