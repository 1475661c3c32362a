"""What the next right picture says of a restored one: errors go along the vectors of the pictures between, and so back.

A picture that only predicts from a damaged one lacks what that one lacks, moved along its vectors (H.264 8.4.2; its residual
arrived). So the last picture before the next right one, two neighbours in time, shows what is still wrong with the first.
"""

from __future__ import annotations

import cv2
import numpy as np

from b2scvr.fill.flow import optical_flow, read_at, warp
from b2scvr.fill.vectors import NO_REFERENCE, SIDES, picture_vectors
from b2scvr.types import MV_BLOCK, AccessUnitStatus, ParsedClip

WHOLLY = 0.99  # a pixel read between others counts as traced when this share of them is
LEAST_COVER = 0.25  # share of a pixel that must be told of
NOISE = 20.0  # mean square miss, in squared levels, where nothing is wrong, ...
NOISE_PIXELS = 1000  # ... as so many pixels would show it
BELIEVED = 0.75  # of the share that a Wiener filter would take: inside the damage the match is worse than around it

Places = tuple[np.ndarray, np.ndarray]  # float32 [H, W, 2] (x, y) pixels; float32 [H, W], 1 = traced


def hindsight(clip: ParsedClip, index: int, after: int, restored: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return `restored` moved towards what picture `after` says of it, uint8 [H, W, 3]; unchanged outside `wrong`.

    clip: as decoded with picture `index` still damaged, its vectors those that were sent; after: display index of an intact
    picture behind it; restored: uint8 [H, W, 3], picture `index` restored, right outside `wrong`, bool [H, W].

    The last traced picture before `after` is mended with what was restored and matched to `after`. What it misses there is
    put back to where it came from. How much of it is believed is told by how much is missed where nothing was wrong: of
    misses of variance v inside and n outside, (v - n) / v is due to the restored picture (Wiener). The picture comes back
    as it is where no picture between leads to it, or another one between lost bits.
    """
    last = _last_dependent(clip, index, after)
    if last is None or not wrong.any():
        return restored
    traced = _places(clip, last, index)
    if traced is None:
        return restored
    place, known = traced
    lack = read_at(restored.astype(np.float32) - clip.frames[index], place) * known[..., None]
    mended = np.clip(clip.frames[last] + lack, 0, 255)
    onward = optical_flow(mended.round().astype(np.uint8), clip.frames[after])
    miss, told = _put_back(warp(clip.frames[after], onward) - mended, place, known)
    square = (miss**2).mean(axis=2)
    inside, outside = told & wrong, told & ~wrong
    if not inside.any():
        return restored
    noise = (square[outside].sum() + NOISE * NOISE_PIXELS) / (outside.sum() + NOISE_PIXELS)
    share = BELIEVED * max(0.0, 1 - noise / max(float(square[inside].mean()), NOISE))
    better = np.clip(restored + share * miss, 0, 255).round().astype(np.uint8)
    return np.where(inside[..., None], better, restored)


def _last_dependent(clip: ParsedClip, index: int, after: int) -> int | None:
    """The picture nearest before `after` in display that was decoded behind `index`; None where there is none.

    Only where `after` was decoded later still: else the encoder had it to predict from, and what it predicted from picture
    `index` instead is what `after` does not show.
    """
    first, end = clip.decode_index[index], clip.decode_index[after]
    between = [slot for slot in range(index + 1, after) if first < clip.decode_index[slot] < end]
    return between[-1] if between else None


def _places(clip: ParsedClip, picture: int, index: int) -> Places | None:
    """Return for each pixel of `picture` its place in picture `index`, along the vectors of all pictures between.

    A pixel is traced where all of its vectors lead there; None when a picture on the way lost bits of its own.
    """
    height, width = clip.frames.shape[1:3]
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    found: dict[int, Places] = {index: (here, np.ones((height, width), np.float32))}
    for slot in _on_the_way(clip, picture, index):
        if clip.status[slot] in (AccessUnitStatus.BROKEN, AccessUnitStatus.LOST):
            return None
        found[slot] = _step(clip, slot, here, found)
    return found.get(picture)


def _on_the_way(clip: ParsedClip, picture: int, index: int) -> list[int]:
    """The pictures decoded behind `index` that `picture` predicts from, directly or not, and itself, in decoding order."""
    waiting, found = [picture], {picture}
    while waiting:
        slot = waiting.pop()
        for side in SIDES:
            for reference in np.unique(picture_vectors(clip, slot, side)[1]).tolist():
                earlier = reference >= 0 and clip.decode_index[index] < clip.decode_index[reference]
                if earlier and clip.decode_index[reference] < clip.decode_index[slot] and reference not in found:
                    found.add(reference)
                    waiting.append(reference)
    return sorted(found, key=lambda slot: clip.decode_index[slot])


def _step(clip: ParsedClip, slot: int, here: np.ndarray, found: dict[int, Places]) -> Places:
    """The places of the pixels of picture `slot`, by those of its references; of two references their mean."""
    total, leading = np.zeros_like(here), np.zeros(here.shape[:2], np.float32)
    lists = np.zeros_like(leading)
    for side in SIDES:
        vectors, reference = (_at_pixels(field, here.shape[:2]) for field in picture_vectors(clip, slot, side))
        lists += reference != NO_REFERENCE
        target = here + vectors
        for other in set(np.unique(reference).tolist()) & found.keys():
            place, known = found[other]
            leads = (reference == other) & (read_at(known, target, cv2.BORDER_CONSTANT) > WHOLLY)
            total += read_at(place, target) * leads[..., None]
            leading += leads
    traced = ((leading > 0) & (leading == lists)).astype(np.float32)
    return total / np.maximum(leading, 1)[..., None], traced


def _put_back(values: np.ndarray, place: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values [H, W, 3] at the places that they came from, [H, W, 3], zero where none did, and where some did, bool.

    Each is spread over the four pixels around its place; what meets there is averaged.
    """
    height, width = weight.shape
    corner = np.floor(place).astype(np.int64)
    part = place - corner
    total, mass = np.zeros((height * width, values.shape[2])), np.zeros(height * width)
    for down in (0, 1):
        for across in (0, 1):
            x, y = corner[..., 0] + across, corner[..., 1] + down
            share = np.abs(1 - across - part[..., 0]) * np.abs(1 - down - part[..., 1]) * weight
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (share > 0)
            pixel, own = (y * width + x)[inside], share[inside]
            mass += np.bincount(pixel, own, height * width)
            for channel in range(values.shape[2]):
                total[:, channel] += np.bincount(pixel, own * values[..., channel][inside], height * width)
    told = mass >= LEAST_COVER
    mean = np.where(told[:, None], total / np.maximum(mass, LEAST_COVER)[:, None], 0)
    return mean.reshape(values.shape).astype(np.float32), told.reshape(height, width)


def _at_pixels(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values on the grid of vectors [rows, columns, ...] at every pixel of pictures of `size` (height, width)."""
    return cells.repeat(MV_BLOCK, 0).repeat(MV_BLOCK, 1)[: size[0], : size[1]]
