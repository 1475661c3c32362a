"""Scene cuts: pictures of one scene show about the same thing, and only they tell what a damaged picture should show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np

from b2scvr.types import ParsedClip

THUMBNAIL = (32, 18)  # width, height
CUT_LEVELS = 18.0  # of 255: median difference of two thumbnails beyond which they may be of two scenes
SAME_SCENE = 0.6  # correlation of two thumbnails from which they show the same scene, whatever their brightness
MARKED = 0.5  # damage trace from which a macroblock counts as damaged
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


def trusted_macroblocks(clip: ParsedClip, slots: slice | int = slice(None)) -> np.ndarray:
    """Return what the decoder neither concealed nor predicted from such: bool [T, h, w], of one picture [h, w]."""
    return ~clip.concealed[slots] & (clip.damage_trace[slots] < MARKED)


def scene_numbers(
    pictures: Iterable[np.ndarray],
    reliable: np.ndarray,
    trusted: Sequence[np.ndarray] | np.ndarray | None = None,
    is_key: np.ndarray | None = None,
) -> np.ndarray:
    """Return the number of the scene of each picture, int32 [T], from 0 on.

    pictures: T of uint8 [H, W, 3], read once, in display order; reliable: bool [T], not damaged; trusted: bool [T, h, w],
    what of the others may be believed; is_key: bool [T], pictures that predict from none before. Between two reliable
    pictures of different scenes the cut lies where neighbours differ most. Before the first one and behind the last a cut
    is told by what is trusted of the damaged pictures, all of which must show another scene. Pictures of which too little
    is trusted show nothing: a cut among them is where a key picture is, or there is none.
    """
    numbers = np.zeros(len(reliable), np.int32)
    keys = np.zeros(len(reliable), bool) if is_key is None else is_key
    last: Thumbnail | None = None  # of the last reliable picture
    run: list[Thumbnail] = []  # and of the pictures after it
    for index, picture in enumerate(pictures):
        run.append(thumbnail(picture, None if trusted is None or reliable[index] else trusted[index]))
        if not reliable[index]:
            continue
        first = index - len(run) + 1
        if last is None:
            others = _others(run[::-1], keys[first : index + 1][::-1])
            numbers[first + others :] += others > 0
        elif is_cut(last, run[-1]) and (place := _cut([last, *run], keys[first : index + 1])) is not None:
            numbers[first + place :] += 1
        last, run = run[-1], []
    if last is not None:
        numbers[len(reliable) - _others([last, *run], keys[len(reliable) - len(run) :]) :] += 1
    return numbers


def _cut(shown: Sequence[Thumbnail], borders: Sequence[bool] | np.ndarray) -> int | None:
    """Return the position of the last picture of the first scene, where neighbours differ most; None: nothing says.

    borders: whether a scene may end at picture n and another begin with the next.
    """
    steps = []
    for before, after in pairwise(_telling(shown)):
        place = _border(borders, before, after)
        if place is not None and is_cut(shown[before], shown[after]):
            steps.append((_distance(shown[before], shown[after]), place))
    return max(steps)[1] if steps else None


def _others(shown: Sequence[Thumbnail], borders: Sequence[bool] | np.ndarray) -> int:
    """Return how many pictures at the end are of another scene than the first one; what only drifts apart is not."""
    telling = _telling(shown)
    place = len(telling)
    while place > 1 and is_cut(shown[0], shown[telling[place - 1]]):
        place -= 1
    if place == len(telling):
        return 0
    before, after = telling[place - 1], telling[place]
    border = _border(borders, before, after) if is_cut(shown[before], shown[after]) else None
    return 0 if border is None else len(shown) - 1 - border


def _telling(shown: Sequence[Thumbnail]) -> list[int]:
    """Return the positions of the pictures of which enough is trusted; the first one is reliable."""
    return [place for place, (_, trusted) in enumerate(shown) if trusted.mean() >= LEAST_TRUSTED]


def _border(borders: Sequence[bool] | np.ndarray, before: int, after: int) -> int | None:
    """Return after which picture a cut lies between two pictures; those between them show nothing. None: nothing says."""
    if after == before + 1:
        return before
    return next((place for place in range(before, after) if borders[place]), None)


def _distance(before: Thumbnail, after: Thumbnail) -> float:
    """Median difference, levels, of what is trusted in both."""
    both = before[1] & after[1]
    return float(np.median(np.abs(before[0] - after[0])[both]))
