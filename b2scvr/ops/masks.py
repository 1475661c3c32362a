"""Masks: where two decodes of one picture differ visibly, and macroblocks at pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from b2scvr.types import MB_SIZE, ParsedClip, PictureDamage

DIFFERENCE_LEVELS = 15  # of 255; a channel that differs by more is visibly damaged
CLOSING_PX = 9  # side of the square that closes the gaps between differing pixels


def damage_mask(decoded: np.ndarray, clean: np.ndarray, levels: int = DIFFERENCE_LEVELS) -> np.ndarray:
    """Return uint8 [H, W], 1 where the pictures, uint8 [H, W, 3], differ visibly, gaps closed.

    That is `close_gaps(visible_difference(decoded, clean))`. ValueError when the pictures have not the same size.
    """
    return close_gaps(visible_difference(decoded, clean, levels))


def damage_mask_by_guesses(
    decoded: np.ndarray, guesses: Sequence[np.ndarray], levels: int = DIFFERENCE_LEVELS
) -> np.ndarray:
    """Return uint8 [H, W], 1 where `decoded` is expected to differ visibly from a truth that only guesses tell, gaps closed.

    decoded, each guess: uint8 [H, W, 3]. A pixel counts where the mean of its largest channel difference from the guesses is
    more than `levels` of 255. ValueError when the pictures have not the same size.
    """
    total = np.stack([_largest_difference(decoded, guess) for guess in guesses]).sum(0, dtype=np.uint32)
    return close_gaps((total > levels * len(guesses)).astype(np.uint8))


def visible_difference(decoded: np.ndarray, clean: np.ndarray, levels: int = DIFFERENCE_LEVELS) -> np.ndarray:
    """Return uint8 [H, W], 1 where some RGB channel of the pictures, uint8 [H, W, 3], differs by more than `levels` of 255.

    ValueError when the pictures have not the same size.
    """
    return (_largest_difference(decoded, clean) > levels).astype(np.uint8)


def _largest_difference(decoded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return by how many levels the pictures differ in the channel in which they do most, uint8 [H, W]."""
    if decoded.shape != clean.shape:
        raise ValueError(f"decoded {list(decoded.shape)} and clean {list(clean.shape)} are not the same picture")
    difference = cv2.absdiff(decoded, clean)
    # A tenth of the time of max(axis=2).
    return np.maximum(np.maximum(difference[..., 0], difference[..., 1]), difference[..., 2])


def close_gaps(difference: np.ndarray) -> np.ndarray:
    """Return the morphological closing of `difference` uint8 [H, W] with a square of CLOSING_PX, uint8 [H, W]."""
    return cv2.morphologyEx(difference, cv2.MORPH_CLOSE, np.ones((CLOSING_PX, CLOSING_PX), np.uint8))


def at_pixels(macroblocks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return values of macroblocks [..., h, w] at every pixel of pictures of `height` x `width`, [..., H, W]."""
    return macroblocks.repeat(MB_SIZE, -2).repeat(MB_SIZE, -1)[..., :height, :width]


def visibly_overwritten(clip: ParsedClip, slot: int) -> np.ndarray:
    """Return where picture `slot` as decoded differs visibly from what the decoder had read before, bool [H, W]."""
    shown, found = clip.frames[slot], clip.overwritten.get(slot)
    if found is None:
        return np.zeros(shown.shape[:2], bool)
    there = at_pixels(found.macroblocks, *shown.shape[:2])[..., None]
    return damage_mask(shown, np.where(there, found.frames, shown)) > 0


def within(damage: PictureDamage, macroblocks: np.ndarray) -> PictureDamage:
    """Return `damage` where `macroblocks`, bool [h, w], says it can be; elsewhere nothing is wrong."""
    pixels = at_pixels(macroblocks, *damage.mask.shape)
    return PictureDamage(damage.macroblocks * macroblocks, damage.mask * pixels, damage.confidence)
