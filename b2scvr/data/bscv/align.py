"""Which clean picture a decoded one belongs to, where a decoder dropped or repeated pictures.

The ffmpeg command line gives no picture for an access unit that it cannot read, and fills gaps with neighbours: from there
on the numbers of pictures no longer mean the same. Order is kept, so the right numbers are the cheapest monotone path:
dynamic programming over (picture, clean picture), as in dynamic time warping (Sakoe and Chiba 1978), where only steps
other than one picture cost extra.
"""

from __future__ import annotations

import cv2
import numpy as np

_THUMBNAIL = (160, 90)  # width, height: coarser ones misplace more pictures
_CAP_LEVELS = 3  # of 255: damage differs by more, and counts no more for it
_STEP_COST = 2.0  # of a picture dropped or repeated, in typical differences of neighbouring clean pictures
_LEAST_STEP_COST = 0.05  # levels: where nothing moves, no step is taken for nothing
_MARGIN = 16  # pictures that the path may stray from the diagonal, beyond the difference of the counts


def align(pictures: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return int [N], not descending: the index in `clean` [T, H, W, 3] of each of `pictures` [N, H, W, 3], uint8.

    Pictures are compared as thumbnails, differences capped so that damage does not lead the path astray. Raises
    ValueError when one of both is empty.
    """
    if not len(pictures) or not len(clean):
        raise ValueError(f"{len(pictures)} pictures and {len(clean)} clean ones: nothing to align")
    small, small_clean = _thumbnails(pictures), _thumbnails(clean)
    band = abs(len(clean) - len(pictures)) + _MARGIN
    costs = _costs(small, small_clean, band)
    neighbours = _difference(small_clean[1:], small_clean[:-1])
    typical = float(np.median(neighbours)) if len(neighbours) else 0.0
    return _cheapest_path(costs, max(_STEP_COST * typical, _LEAST_STEP_COST))


def slots(path: np.ndarray, pictures: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each clean picture the picture that stands there, int [T], and whether it only stands in, bool [T].

    path: of `align`. Of several pictures at one place the most similar one is taken; where there is none, the picture
    before it (at the start the one behind) stands in, as a decoder would show it.
    """
    chosen = np.full(len(clean), -1)
    for index in np.unique(path):
        rivals = np.flatnonzero(path == index)
        if len(rivals) == 1:
            chosen[index] = rivals[0]
            continue
        truth = _thumbnails(clean[index : index + 1]).repeat(len(rivals), axis=0)
        chosen[index] = rivals[int(np.argmin(_difference(_thumbnails(pictures[rivals]), truth)))]
    missing = chosen < 0
    filled = np.maximum.accumulate(chosen)
    return np.where(filled < 0, chosen[np.argmin(missing)], filled), missing


def _thumbnails(pictures: np.ndarray) -> np.ndarray:
    """[N, H, W, 3] -> uint8 [N, P], grey levels."""
    grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures)
    return np.stack([cv2.resize(g, _THUMBNAIL, interpolation=cv2.INTER_AREA).reshape(-1) for g in grey])


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean capped difference of thumbnails, in levels: uint8 [N, P] twice -> float [N]."""
    if not len(a):
        return np.zeros(0)
    capped = np.minimum(cv2.absdiff(a, b), np.uint8(_CAP_LEVELS))
    return cv2.reduce(capped, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[:, 0]


def _costs(pictures: np.ndarray, clean: np.ndarray, band: int) -> np.ndarray:
    """[N, P], [T, P] -> [N, T], infinite further than `band` from the diagonal."""
    n, t = len(pictures), len(clean)
    costs = np.full((n, t), np.inf, np.float32)
    for offset in range(-band, band + 1):
        first, end = max(0, -offset), min(n, t - offset)
        if first < end:
            rows = np.arange(first, end)
            costs[rows, rows + offset] = _difference(pictures[first:end], clean[first + offset : end + offset])
    return costs


def _cheapest_path(costs: np.ndarray, step_cost: float) -> np.ndarray:
    """Return the column of each row, not descending, that makes the sum of costs and steps least.

    A step of k columns from row to row costs |k - 1| step_cost, and so does every column left out at both ends.
    """
    rows, columns = costs.shape
    position = np.arange(columns) * step_cost
    total = costs[0] + position
    came_from = np.zeros((rows, columns), np.int64)
    for row in range(1, rows):
        # Steps of one or more: min over j' < j of total[j'] + (j - j' - 1) step_cost.
        level = total - position
        best = np.minimum.accumulate(level)
        at = np.maximum.accumulate(np.where(level <= best, np.arange(columns), 0))
        ahead = np.concatenate([[np.inf], best[:-1] + position[:-1]])
        stay = total + step_cost
        came_from[row] = np.where(ahead <= stay, np.concatenate([[0], at[:-1]]), np.arange(columns))
        total = costs[row] + np.minimum(ahead, stay)
    path = np.zeros(rows, np.int64)
    path[-1] = int(np.argmin(total + position[::-1]))
    for row in range(rows - 1, 0, -1):
        path[row - 1] = came_from[row, path[row]]
    return path
