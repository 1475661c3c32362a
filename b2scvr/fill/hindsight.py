"""What the next right picture says of a restored one: errors go along the vectors of the pictures between, and so back.

A picture that only predicts from a damaged one lacks what that one lacks, moved along its vectors (H.264 8.4.2; its residual
arrived). So the last picture before the next right one, two neighbours in time, shows what is still wrong with the first. How
the two match is not asked of the damaged one's contents, which would be taken for motion, but of how things move on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from b2scvr.fill.flow import optical_flow, read_at, warp
from b2scvr.fill.vectors import SIDES, Hypothesis, fuse, sent_vectors
from b2scvr.fill.velocity import intact_beyond, motion_along_vectors, steady_motion
from b2scvr.types import MV_BLOCK, NOT_WHOLE, ParsedClip

WHOLLY = 0.99  # a pixel read between others counts as traced when this share of them is
AROUND = 33  # pixels, side of the square around one that tells which guess is near
FAR = 0.01  # so much of such a square counts what is told of the rest of the picture
MOST_AHEAD = 2  # pictures from the last dependent to the next right one: things do not move on for longer as they did
LEAST_COVER = 0.25  # share of a pixel that must be told of
NOISE = 20.0  # mean square miss, in squared levels, where nothing is wrong, ...
NOISE_PIXELS = 1000  # ... as so many pixels would show it
AGREEING = 0.25  # of the noise: guesses of a motion that show what differs by less agree

Places = tuple[np.ndarray, np.ndarray]  # float32 [H, W, 2] (x, y) pixels; float32 [H, W], 1 = traced


def hindsight(
    clip: ParsedClip,
    index: int,
    after: int,
    restored: np.ndarray,
    wrong: np.ndarray,
    guesses: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Return `restored` moved towards what picture `after` says of it, uint8 [H, W, 3]; unchanged outside `wrong`.

    clip: as decoded with picture `index` still damaged, its vectors those that were sent; after: display index of an intact
    picture behind it; restored: uint8 [H, W, 3], picture `index` restored, right outside `wrong`, bool [H, W]; guesses: what
    else it may look like, uint8 [H, W, 3] each.

    The last traced picture before `after` is mended with what was restored and laid beside `after`. What it misses there is
    put back to where it came from: that gives picture `index` once more, as far as it is told of, with noise. How much, n, is
    known from where nothing was wrong; the more so where the guesses of the motion disagree more. Next to each pixel the
    restored picture and the guesses are believed as they come near to what is seen, and of what they miss together, of
    variance v, the share is added that is not noise: (v - n) / v (Wiener), half as it is around the pixel and half as it is
    of all. The picture comes back as it is where no picture between leads to it.
    """
    last = _last_dependent(clip, index, after)
    if last is None or not wrong.any():
        return restored
    traced = _trace(clip, index, [slot for slot in (last - 1, last) if slot > index])
    if last not in traced:
        return restored
    lack = restored.astype(np.float32) - clip.frames[index]
    mended = {slot: _mended(clip.frames[slot], lack, places) for slot, places in traced.items()}
    place, known = traced[last]
    right = (known > 0) & (read_at(wrong.astype(np.float32), place) == 0)
    shown, doubt = _shown_by(clip, last, after, mended, right)
    miss, told = _put_back(shown - mended[last], place, known)
    inside = told & wrong
    if not inside.any():
        return restored
    outside = _noise(miss, told & ~wrong)
    doubted = _around(_put_back(doubt[..., None], place, known)[0][..., 0], inside)
    agreeing = AGREEING * outside
    noise = outside * np.maximum((doubted + agreeing) / (_mean(doubt, right) + agreeing), 1)
    seen = restored + miss
    better = _nearest_to([restored, *guesses], seen, inside, noise)
    missed = _square(seen - better)
    share = (
        _signal_share(_around(missed, inside), noise) + _signal_share(_mean(missed, inside), _mean(noise, inside))
    ) / 2
    better = np.clip(better + (share * inside)[..., None] * (seen - better), 0, 255).round().astype(np.uint8)
    return np.where(wrong[..., None], better, restored)


def _nearest_to(guesses: Sequence[np.ndarray], seen: np.ndarray, told: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the mean of the guesses, float32 [H, W, 3], each weighed by how near it comes to `seen` around each pixel.

    seen: float32 [H, W, 3], of mean square error `noise` [H, W], where `told`, bool [H, W]; elsewhere what is near tells.
    """
    total, believed = np.zeros(seen.shape, np.float32), np.zeros(told.shape, np.float32)
    for guess in guesses:
        share = 1 / np.maximum(_around(_square(guess - seen), told), noise) ** 2
        total, believed = total + guess * share[..., None], believed + share
    return total / believed[..., None]


def _signal_share(variance: np.ndarray | float, noise: np.ndarray | float) -> np.ndarray:
    """Share of a variance that is not noise."""
    return 1 - noise / np.maximum(variance, noise)


def _around(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean of `values` [H, W] around each pixel, of those `where`, bool [H, W]; of all these where next to none is near."""
    weight = where.astype(np.float32)
    return (_blurred(values * weight) + FAR * values[where].mean()) / (_blurred(weight) + FAR)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _blurred(values: np.ndarray) -> np.ndarray:
    return cv2.blur(values, (AROUND, AROUND), borderType=cv2.BORDER_REFLECT)


def _mended(picture: np.ndarray, lack: np.ndarray, places: Places) -> np.ndarray:
    """Return `picture`, uint8 [H, W, 3], with what it lacks as `lack`, float32 [H, W, 3], moved along; float32 in [0, 255]."""
    place, known = places
    return np.clip(picture + read_at(lack, place) * known[..., None], 0, 255)


def _shown_by(
    clip: ParsedClip, last: int, after: int, mended: dict[int, np.ndarray], right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What picture `after`, moved back, shows of `last`, [H, W, 3]: at constant velocity, as it is on either side of the two.

    mended: `last`, and the picture before it where that is known, float32 [H, W, 3]. The better a motion fits where `last`
    is right, bool [H, W], the more it is believed. Where none is known, what was mended is matched as it is. And how far
    what each motion alone would show is from that: mean square, float32 [H, W].
    """
    beyond, behind = intact_beyond(clip, last, after), last - 1
    motions = [motion_along_vectors(clip, last, after)]
    if beyond is not None:
        motions.append(steady_motion(clip, last, after, beyond))
    if behind in mended:
        back = optical_flow(_levels(mended[last]), _levels(mended[behind]))
        motions.append(back * np.float32((after - last) / (behind - last)))
    known = [motion for motion in motions if motion is not None]
    if not known:
        matched = optical_flow(_levels(mended[last]), clip.frames[after])
        return warp(clip.frames[after], matched), np.zeros(right.shape, np.float32)
    moved = [warp(clip.frames[after], motion).astype(np.float32) for motion in known]
    noises = [_noise(picture - mended[last], right) for picture in moved]
    onward = fuse([Hypothesis(motion, (NOISE / noise) ** 2) for motion, noise in zip(known, noises, strict=True)])
    shown = warp(clip.frames[after], onward)
    return shown, np.mean([_square(picture - shown) for picture in moved], axis=0)


def _levels(picture: np.ndarray) -> np.ndarray:
    return picture.round().astype(np.uint8)


def _noise(miss: np.ndarray, where: np.ndarray) -> float:
    """Mean square of `miss` [H, W, 3] there, bool [H, W]; near NOISE where next to nothing tells."""
    return float((_square(miss)[where].sum() + NOISE * NOISE_PIXELS) / (where.sum() + NOISE_PIXELS))


def _square(miss: np.ndarray) -> np.ndarray:
    return (miss**2).mean(axis=2)


def _last_dependent(clip: ParsedClip, index: int, after: int) -> int | None:
    """The whole picture nearest before `after` in display that was decoded behind `index`; None where there is none near.

    Only where `after` was decoded later still: else the encoder had it to predict from, and what it predicted from picture
    `index` instead is what `after` does not show.
    """
    first, end = clip.decode_index[index], clip.decode_index[after]
    whole = [slot for slot in range(index + 1, after) if clip.status[slot] not in NOT_WHOLE]
    between = [slot for slot in whole if first < clip.decode_index[slot] < end]
    return between[-1] if between and after - between[-1] <= MOST_AHEAD else None


def _trace(clip: ParsedClip, index: int, pictures: Sequence[int]) -> dict[int, Places]:
    """Return for each pixel of `pictures` its place in picture `index`, along the vectors of all pictures between.

    A pixel is traced where all of its vectors are told to lead there, by way of no picture that lost bits of its own. A
    picture of which no pixel is traced is left out.
    """
    height, width = clip.frames.shape[1:3]
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    found: dict[int, Places] = {index: (here, np.ones((height, width), np.float32))}
    way = _on_the_way(clip, index, pictures)
    waiting = list(way)
    while waiting:
        slot = waiting.pop(0)
        if clip.status[slot] not in NOT_WHOLE:
            found[slot] = _step(clip, slot, here, found)
        used = set(pictures).union(*(way[later] for later in waiting))  # a long period has too many to keep them all
        found = {other: places for other, places in found.items() if other in used}
    return {slot: found[slot] for slot in pictures if slot in found and found[slot][1].any()}


def _on_the_way(clip: ParsedClip, index: int, pictures: Sequence[int]) -> dict[int, set[int]]:
    """The pictures decoded behind `index` that `pictures` predict from, directly or not, and these, in decoding order.

    Behind each of them what it predicts from itself.
    """
    waiting, way = list(pictures), dict[int, set[int]]()
    while waiting:
        slot = waiting.pop()
        if slot not in way:
            way[slot] = _references(clip, slot)
            earlier = [other for other in way[slot] if clip.decode_index[other] < clip.decode_index[slot]]
            waiting += [other for other in earlier if clip.decode_index[other] > clip.decode_index[index]]
    return dict(sorted(way.items(), key=lambda item: clip.decode_index[item[0]]))


def _references(clip: ParsedClip, slot: int) -> set[int]:
    """The pictures that the vectors of picture `slot` are told to mean, by display index."""
    sides = [sent_vectors(clip, slot, side) for side in SIDES]
    return {int(other) for _, valid, reference in sides for other in np.unique(reference[valid]) if other >= 0}


def _step(clip: ParsedClip, slot: int, here: np.ndarray, found: dict[int, Places]) -> Places:
    """The places of the pixels of picture `slot`, by those of its references; of two references their mean."""
    total, leading = np.zeros_like(here), np.zeros(here.shape[:2], np.float32)
    lists = np.zeros_like(leading)
    for side in SIDES:
        vectors, valid, reference = (_at_pixels(field, here.shape[:2]) for field in sent_vectors(clip, slot, side))
        lists += valid
        target = here + vectors
        for other in set(np.unique(reference[valid]).tolist()) & found.keys():
            place, known = found[other]
            leads = valid & (reference == other) & (read_at(known, target, cv2.BORDER_CONSTANT) > WHOLLY)
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
