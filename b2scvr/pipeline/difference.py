"""The masks of a repaired clip: what repair changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from b2scvr.ops.masks import damage_mask_by_guesses
from b2scvr.pipeline.pictures import WRONG
from b2scvr.types import CorruptionMasks, PictureDamage


def masks_by_difference(
    decoded: np.ndarray,
    guesses: Sequence[np.ndarray],
    judged: dict[int, PictureDamage],
    left: Collection[int],
    levels: int,
) -> CorruptionMasks:
    """Masks of a repaired clip: what repair changed visibly; in pictures that it left as they were, what the detector saw.

    guesses: clips uint8 [T, H, W, 3], each repaired, the first one is what is shown; judged: what the detector said, by
    display index; left: the pictures that are still damaged; levels: of 255, how much is visible.
    """
    masks = np.stack(
        [
            damage_mask_by_guesses(picture, repaired, levels)
            for picture, *repaired in zip(decoded, *guesses, strict=True)
        ]
    )
    confidence = np.ones(len(masks), np.float32)
    for slot, damage in judged.items():
        confidence[slot] = damage.confidence
        if slot in left or np.array_equal(decoded[slot], guesses[0][slot]):
            masks[slot] |= damage.mask >= WRONG
    return CorruptionMasks(masks, confidence)
