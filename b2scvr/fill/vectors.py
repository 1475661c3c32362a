"""The vectors of later-decoded pictures that point into a damaged picture: its true motion, which arrived intact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from b2scvr.fill.flow import read_at
from b2scvr.types import MV_BLOCK, NOT_WHOLE, UNKNOWN_REFERENCE, AccessUnitStatus, ParsedClip

MEDIAN_CELLS = 5  # side of the median window, in 8x8 cells
LINK_WEIGHT = 16.0  # a block with vectors on both sides ties two pictures without assuming constant speed
GUESSED_LINK_WEIGHT = 2.0  # one of the two vectors was taken from the blocks around
SPEED_WEIGHT = 0.06  # a vector that tells the motion only if speed is constant, at the anchor's own distance
OUTLIER_PX = 1.0  # votes this far from the consensus count half
ROBUST_ROUNDS = 2
NEARLY = 0.75  # share of a point's four cells that must lead to the anchor
NO_REFERENCE = -1
SIDES = ("past", "future")  # the two lists of vectors
_OPPOSITE = {"past": "future", "future": "past"}
Votes = tuple[np.ndarray, np.ndarray, np.ndarray]  # landing point [n, 2] px, motion to the anchor [n, 2] px, weight [n]


@dataclass
class VectorField:
    """Motion of the damaged picture on the 8x8 grid: motion [rows, columns, 2] (x, y) pixels, weight [rows, columns] >= 0."""

    motion: np.ndarray
    weight: np.ndarray


@dataclass
class Hypothesis:
    """A guess of the motion at picture size: motion [H, W, 2] (x, y) pixels, and its weight beside the vectors' votes."""

    motion: np.ndarray
    weight: float


def motion_from_vectors(clip: ParsedClip, index: int, anchor: int) -> VectorField:
    """Return the motion from picture `index` to picture `anchor` (display indices) that other pictures' vectors tell.

    A block at x of a picture q with vector f into the damaged picture t covers y = x + f there. If its other vector p
    leads to picture r, then y moves by p - f to r: a link. From r the vectors of r itself lead on to the anchor. Where
    no chain reaches the anchor, constant speed is assumed; such votes weigh little, and less the more they are scaled.
    Votes far from the consensus are weighed down (Cauchy weights, iterated). Where the picture that a vector means is
    unknown, it is taken to be the nearest reference picture in the vector's direction.
    """
    votes: list[Votes] = []
    for other in _later_dependents(clip, index):
        for side in _OPPOSITE:
            votes += _votes(clip, index, anchor, other, side)
    shape = clip.mv_past_valid.shape[1:]
    if not votes:
        return VectorField(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))
    return _splat(votes, shape)


def _later_dependents(clip: ParsedClip, index: int) -> list[int]:
    """Display indices of the pictures decoded after `index` that are shown before the next key picture."""
    later = [(i, key) for i, key in clip.in_decoding_order() if clip.decode_index[i] > clip.decode_index[index]]
    out, next_key = [], None
    for i, key in later:
        if i == key and next_key is not None:
            break
        next_key = key if i == key else next_key
        leads = next_key is None or i < next_key
        if leads and clip.status[i] not in NOT_WHOLE:
            out.append(i)
    return out


def _nearest_reference(clip: ParsedClip, index: int, side: str) -> int | None:
    """The display index that a vector of picture `index` most likely means: the nearest picture decoded before it that
    is not a non-reference B picture, in display order on that side."""
    direction = -1 if side == "past" else 1
    candidate = index + direction
    while 0 <= candidate < len(clip):
        decoded_before = clip.decode_index[candidate] < clip.decode_index[index]
        if decoded_before and clip.is_reference[candidate]:
            return candidate
        candidate += direction
    return None


def _votes(clip: ParsedClip, index: int, anchor: int, other: int, side: str) -> list[Votes]:
    """The votes of the blocks of picture `other`, whose `side` vectors point into picture `index`."""
    into, reference = picture_vectors(clip, other, side)
    there = reference == index
    if not there.any():
        return []
    away, onto = picture_vectors(clip, other, _OPPOSITE[side])
    rows, columns = reference.shape
    centre = (np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5) * MV_BLOCK
    scale = (anchor - index) / (other - index)
    motion, weight = -into * np.float32(scale), np.full(reference.shape, SPEED_WEIGHT / scale**2, np.float32)
    linked = there & (onto != NO_REFERENCE) & (onto != index)
    for far, blocks in _by_reference(onto, linked):
        step, trust = _step(clip, far, anchor, index, centre + away, away - into)
        motion, weight = np.where(blocks[..., None], step, motion), np.where(blocks, trust, weight)
    alone = there & (onto == NO_REFERENCE)
    if linked.any() and alone.any():
        far = int(np.bincount(onto[linked]).argmax())
        guessed = filled(away, linked & (onto == far))
        step, trust = _step(clip, far, anchor, index, centre + guessed, guessed - into)
        if (trust >= LINK_WEIGHT / 2).any():
            better = alone & (trust >= LINK_WEIGHT / 2)
            doubt = np.float32(GUESSED_LINK_WEIGHT / LINK_WEIGHT)
            motion, weight = np.where(better[..., None], step, motion), np.where(better, trust * doubt, weight)
    return [((centre + into)[there], motion[there].astype(np.float32), weight[there].astype(np.float32))]


def _step(
    clip: ParsedClip, far: int, anchor: int, index: int, point: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Motion from `index` to `anchor` and its weight, where `step` leads to picture `far`, there to `point`, px."""
    shape = step.shape[:2]
    if far == anchor:
        return step, np.full(shape, LINK_WEIGHT, np.float32)
    stretch = np.float32((anchor - index) / (far - index))
    motion, weight = step * stretch, np.full(shape, SPEED_WEIGHT * 2 / stretch**2, np.float32)
    for side in _OPPOSITE:
        vectors, reference = picture_vectors(clip, far, side)
        leads = reference == anchor
        if clip.status[far] != AccessUnitStatus.BROKEN and leads.any():
            grid = (point / MV_BLOCK - 0.5).astype(np.float32)
            onward = read_at(filled(vectors, leads), grid)
            sure = read_at(leads.astype(np.float32), grid) > NEARLY
            motion = np.where(sure[..., None], step + onward, motion)
            weight = np.where(sure, np.float32(LINK_WEIGHT / 2), weight)
    return motion, weight


def _by_reference(references: np.ndarray, blocks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each reference of the `blocks` with those blocks that have it."""
    for reference in np.unique(references[blocks]):
        yield int(reference), blocks & (references == reference)


def sent_vectors(clip: ParsedClip, index: int, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of one list of a picture, where there are any, and what each means as far as it is told (ParsedClip)."""
    if side == "past":
        return clip.mv_past[index], clip.mv_past_valid[index], clip.past_reference[index]
    return clip.mv_future[index], clip.mv_future_valid[index], clip.future_reference[index]


def picture_vectors(clip: ParsedClip, index: int, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of one list of a picture and the display index that each means, NO_REFERENCE where there is none.

    Where it is not told it is taken to be the nearest one on that side.
    """
    vectors, valid, references = sent_vectors(clip, index, side)
    nearest = _nearest_reference(clip, index, side)
    guess = NO_REFERENCE if nearest is None else nearest
    references = np.where(references == UNKNOWN_REFERENCE, guess, references)
    return vectors, np.where(valid & (references >= 0), references, NO_REFERENCE)


def steady_vectors(clip: ParsedClip, index: int, target: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for each list of picture `index`, its vectors scaled by distance to reach picture `target` (constant speed).

    As motion [r, c, 2] in pixels, the display index that each meant, and where there are any, bool [r, c]; vectors that mean
    the picture itself (its other field) say nothing.
    """
    for side in SIDES:
        vectors, reference = picture_vectors(clip, index, side)
        known = (reference != NO_REFERENCE) & (reference != index)
        steps = np.where(known, reference - index, 1)
        yield vectors * ((target - index) / steps)[..., None], reference, known


def filled(vectors: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the field with cells that are not valid averaged from the valid ones around (normalised convolution)."""
    weight = valid.astype(np.float32)
    near, mass = cv2.GaussianBlur(vectors * weight[..., None], (0, 0), 1.5), cv2.GaussianBlur(weight, (0, 0), 1.5)
    overall = vectors[valid].mean(axis=0)
    around = (near + 1e-3 * overall) / (mass + 1e-3)[..., None]
    return np.where(valid[..., None], vectors, around).astype(np.float32)


def _splat(votes: list[Votes], shape: tuple[int, int]) -> VectorField:
    """Robust mean of the votes on the 8x8 grid (each vote is a block of one cell, spread over the cells it covers)."""
    point, motion, weight = (np.concatenate(part) for part in zip(*votes, strict=True))
    rows, columns = shape
    grid = point / MV_BLOCK - 0.5
    base = np.floor(grid).astype(np.int64)
    part = grid - base
    cells, shares, who = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            cell = base + (dx, dy)
            inside = (cell[:, 0] >= 0) & (cell[:, 0] < columns) & (cell[:, 1] >= 0) & (cell[:, 1] < rows)
            cells.append((cell[:, 1] * columns + cell[:, 0])[inside])
            shares.append((np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1]) * weight)[inside])
            who.append(np.flatnonzero(inside))
    flat, share, vote = np.concatenate(cells), np.concatenate(shares), motion[np.concatenate(who)]
    mass = np.bincount(flat, share, rows * columns)
    trust = share
    for round_ in range(ROBUST_ROUNDS + 1):
        total = np.stack([np.bincount(flat, trust * vote[:, axis], rows * columns) for axis in (0, 1)], axis=-1)
        mean = total / np.maximum(np.bincount(flat, trust, rows * columns), 1e-9)[:, None]
        centre = median_of_cells(mean.reshape(rows, columns, 2)) if round_ == 0 else mean.reshape(rows, columns, 2)
        away = ((vote - centre.reshape(-1, 2)[flat]) ** 2).sum(axis=-1)
        trust = share / (1 + away / OUTLIER_PX**2)
    return VectorField(
        mean.reshape(rows, columns, 2).astype(np.float32), mass.reshape(rows, columns).astype(np.float32)
    )


def median_of_cells(field: np.ndarray) -> np.ndarray:
    """Median of each component over a window of MEDIAN_CELLS cells."""
    planes = [cv2.medianBlur(np.ascontiguousarray(field[..., axis], np.float32), MEDIAN_CELLS) for axis in (0, 1)]
    return np.stack(planes, axis=-1)


def enlarged(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a field on the 8x8 grid, float32 [r, c, ...], interpolated at the pixels of a picture, [H, W, ...]."""
    rows, columns = cells.shape[:2]
    size = columns * MV_BLOCK, rows * MV_BLOCK
    return cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)[:height, :width]


def fuse(hypotheses: list[Hypothesis], field: VectorField | None = None) -> np.ndarray:
    """Return the motion at picture size, float32 [H, W, 2]: the robust weighted mean of the hypotheses and the vectors.

    All meet on the 8x8 grid, where the vectors live; what the hypotheses know in finer detail is added back from the one
    of the largest weight.
    """
    strongest = max(hypotheses, key=lambda hypothesis: hypothesis.weight).motion
    height, width = strongest.shape[:2]
    rows, columns = field.weight.shape if field is not None else (-(-height // MV_BLOCK), -(-width // MV_BLOCK))
    coarse = [cv2.resize(hypothesis.motion, (columns, rows), interpolation=cv2.INTER_AREA) for hypothesis in hypotheses]
    weights = [np.full((rows, columns), hypothesis.weight, np.float32) for hypothesis in hypotheses]
    if field is not None:
        coarse, weights = [median_of_cells(field.motion), *coarse], [field.weight, *weights]
    votes, weight = np.stack(coarse), np.stack(weights)
    trust = weight
    for _ in range(ROBUST_ROUNDS):
        mean = (trust[..., None] * votes).sum(axis=0) / trust.sum(axis=0)[..., None]
        away = ((votes - mean) ** 2).sum(axis=-1)
        trust = weight / (1 + away / OUTLIER_PX**2)
    mean = (trust[..., None] * votes).sum(axis=0) / trust.sum(axis=0)[..., None]
    shape = cv2.resize(strongest, (columns, rows), interpolation=cv2.INTER_AREA)
    return strongest + enlarged(median_of_cells((mean - shape).astype(np.float32)), height, width)
