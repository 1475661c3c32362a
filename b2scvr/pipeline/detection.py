"""The masks of a whole clip, without restoring anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2scvr.ops.masks import visibly_overwritten
from b2scvr.pipeline.pictures import WRONG, PictureWork, damaged_slots
from b2scvr.types import CorruptionMasks, InputError, ParsedClip, PictureDamage

FirstMask = tuple[int, np.ndarray]  # display index and mask, uint8 [H, W], of the first damaged picture


def detect_clip(work: PictureWork, clip: ParsedClip, first_mask: FirstMask | None = None) -> CorruptionMasks:
    """Return the masks of all damaged pictures of `clip`.

    first_mask: from which a detector that tracks starts. Raises InputError when the detector does not track.
    """
    found = CorruptionMasks.blank(clip)
    for number, (slot, damage) in enumerate(_detected(work, clip, first_mask), 1):
        found.masks[slot], found.confidence[slot] = damage.mask >= WRONG, damage.confidence
        work.progress("detect", number, len(clip))
    return found


def _detected(work: PictureWork, clip: ParsedClip, first_mask: FirstMask | None) -> Iterator[tuple[int, PictureDamage]]:
    """Yield display index and damage: of every picture where the detector tracks, else of the damaged ones."""
    track = getattr(work.detector, "track", None)
    if track is not None:
        yield from enumerate(track(clip, first_mask))
        return
    if first_mask is not None:
        raise InputError("the config's detector judges every picture on its own: it takes no first mask")
    for slot in damaged_slots(clip):
        damage = work.look(clip, slot)[1]
        damage.mask = np.maximum(damage.mask, visibly_overwritten(clip, slot))
        yield slot, damage
