"""Scene cuts: pictures of one scene show about the same thing, and only they tell what a damaged picture should show."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np

THUMBNAIL = (32, 18)  # width, height
CUT_LEVELS = 18.0  # of 255: median difference of two thumbnails beyond which they may be of two scenes
SAME_SCENE = 0.6  # correlation of two thumbnails from which they show the same scene, whatever their brightness


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> float32 [18, 32, 3], averages."""
    return cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two thumbnails are of different scenes. Damage of less than half of a picture does not make a cut."""
    if np.median(np.abs(before - after)) <= CUT_LEVELS:
        return False
    first, second = before - before.mean((0, 1)), after - after.mean((0, 1))
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return bool((first * second).sum() < SAME_SCENE * max(scale, 1e-6))


def scene_numbers(pictures: Iterable[np.ndarray], reliable: np.ndarray) -> np.ndarray:
    """Return the number of the scene of each picture, int32 [T], from 0 on.

    pictures: T of uint8 [H, W, 3], read once, in display order; reliable: bool [T], not damaged. A cut shows between
    neighbours and between the reliable pictures around it. A damaged picture beside one belongs to the side that it is
    nearer to.
    """
    numbers = np.zeros(len(reliable), np.int32)
    last: np.ndarray | None = None  # thumbnail of the last reliable picture
    run: list[np.ndarray] = []  # and of the pictures after it
    number = 0
    for index, picture in enumerate(pictures):
        run.append(thumbnail(picture))
        numbers[index] = number
        if not reliable[index]:
            continue
        if last is not None and is_cut(last, run[-1]) and _jumps(last, run):
            number += 1
            first = index - len(run) + 1
            for place, small in enumerate(run):
                numbers[first + place] = number - (_distance(small, last) < _distance(small, run[-1]))
        last, run = run[-1], []
    return numbers


def _jumps(last: np.ndarray, run: list[np.ndarray]) -> bool:
    """Whether any two neighbours of a run are of different scenes: what moves fast only drifts apart."""
    return any(is_cut(before, after) for before, after in pairwise([last, *run]))


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.median(np.abs(first - second)))
