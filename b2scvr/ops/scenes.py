"""Scene cuts: pictures of one scene show about the same thing, and only they tell what a damaged picture should show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np

THUMBNAIL = (32, 18)  # width, height
CUT_LEVELS = 18.0  # of 255: median difference of two thumbnails beyond which they may be of two scenes
SAME_SCENE = 0.6  # correlation of two thumbnails from which they show the same scene, whatever their brightness
LEAST_TRUSTED = 0.1  # share of a thumbnail that must be trusted for it to tell anything

Thumbnail = tuple[np.ndarray, np.ndarray]  # float32 [18, 32, 3], averages; bool [18, 32], trusted


def thumbnail(picture: np.ndarray, trusted: np.ndarray | None = None) -> Thumbnail:
    """uint8 [H, W, 3] and what of it is trusted, bool [h, w] (None: all) -> a small picture, and where it is trusted."""
    small = cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    if trusted is None:
        return small, np.ones(THUMBNAIL[::-1], bool)
    return small, cv2.resize(trusted.astype(np.uint8), THUMBNAIL, interpolation=cv2.INTER_NEAREST) > 0


def is_cut(before: Thumbnail, after: Thumbnail) -> bool:
    """Return whether two pictures are of different scenes, as far as what is trusted in both shows.

    Damage of less than half of what is trusted does not make a cut.
    """
    both = before[1] & after[1]
    if both.mean() < LEAST_TRUSTED or _distance(before, after) <= CUT_LEVELS:
        return False
    first, second = (shown[both] - shown[both].mean(0) for shown, _ in (before, after))
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return bool((first * second).sum() < SAME_SCENE * max(scale, 1e-6))


def scene_numbers(
    pictures: Iterable[np.ndarray], reliable: np.ndarray, trusted: Sequence[np.ndarray] | np.ndarray | None = None
) -> np.ndarray:
    """Return the number of the scene of each picture, int32 [T], from 0 on.

    pictures: T of uint8 [H, W, 3], read once, in display order; reliable: bool [T], not damaged; trusted: bool [T, h, w],
    what of the others may be believed. Between two reliable pictures of different scenes the cut lies where neighbours
    differ most. Before the first one and behind the last a cut is told by what is trusted of the damaged pictures, all of
    which must show another scene.
    """
    numbers = np.zeros(len(reliable), np.int32)
    last: Thumbnail | None = None  # of the last reliable picture
    run: list[Thumbnail] = []  # and of the pictures after it
    for index, picture in enumerate(pictures):
        run.append(thumbnail(picture, None if trusted is None or reliable[index] else trusted[index]))
        if not reliable[index]:
            continue
        first = index - len(run) + 1
        if last is None:
            numbers[first + _others(run[::-1]) :] += _others(run[::-1]) > 0
        elif is_cut(last, run[-1]) and any(is_cut(*pair) for pair in pairwise([last, *run])):
            numbers[first + _largest_step([last, *run]) :] += 1
        last, run = run[-1], []
    if last is not None:
        numbers[len(reliable) - _others([last, *run]) :] += 1
    return numbers


def _largest_step(shown: Sequence[Thumbnail]) -> int:
    """Return the position of the picture that differs most from the next."""
    return int(np.argmax([_distance(before, after) for before, after in pairwise(shown)]))


def _others(shown: Sequence[Thumbnail]) -> int:
    """Return how many pictures at the end are of another scene than the first one; what only drifts apart is not."""
    place = len(shown)
    while place > 1 and is_cut(shown[0], shown[place - 1]):
        place -= 1
    return len(shown) - place if place < len(shown) and is_cut(shown[place - 1], shown[place]) else 0


def _distance(before: Thumbnail, after: Thumbnail) -> float:
    """Median difference, levels, of what is trusted in both; of all where that is too little."""
    both = before[1] & after[1]
    return float(np.median(np.abs(before[0] - after[0])[both if both.mean() >= LEAST_TRUSTED else ...]))
