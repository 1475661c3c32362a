"""Drift mode: broken pictures are restored, and what depends on them is corrected along the stream's vectors."""

from __future__ import annotations

import dataclasses

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.repair import next_broken
from b2scvr.ops.dependents import DependentCorrector
from b2scvr.pipeline.difference import masks_by_difference
from b2scvr.pipeline.pictures import PictureWork
from b2scvr.types import NOT_WHOLE, AccessUnitStatus, ParsedClip, PictureDamage, RecoveredClip


class DriftMode:
    """Recovers clips beside their streams, which stay as they are. difference_levels: see Pipeline."""

    def __init__(self, work: PictureWork, difference_levels: int) -> None:
        self.work, self.difference_levels = work, difference_levels

    def recover(self, coded: CodedClip) -> RecoveredClip:
        """Restore the broken and lost pictures in decoding order; correct what depends on them along the vectors."""
        sent = coded.clip
        corrector = DependentCorrector(sent, self.work.device)
        clip, restored, seen = sent, dict[int, np.ndarray](), dict[int, PictureDamage]()
        total = int(_own_damage(sent.status).sum())
        while chosen := next_broken(_lost_as_broken(clip), set(restored)):
            for slot, (_, damage, picture) in zip(chosen, self.work.restored(clip, chosen), strict=True):
                seen[slot], restored[slot] = damage, picture
                self.work.progress("recover", len(restored), total)
            with self.work.timed("drift"):
                frames, status = corrector.frames(restored), corrector.status(restored)
            clip = dataclasses.replace(sent, frames=frames, status=status)
        found = masks_by_difference(sent.frames, (clip.frames,), seen, (), self.difference_levels)
        slots = tuple(sorted(restored))
        return RecoveredClip(clip.frames, found, "drift", None, slots, self.work.seconds, sent.notes)


def _own_damage(status: np.ndarray) -> np.ndarray:
    """Which pictures are broken or lost themselves."""
    return np.isin(status, NOT_WHOLE)


def _lost_as_broken(clip: ParsedClip) -> ParsedClip:
    return dataclasses.replace(clip, status=np.where(_own_damage(clip.status), AccessUnitStatus.BROKEN, clip.status))
