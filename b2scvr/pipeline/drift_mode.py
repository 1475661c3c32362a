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

    def recover(self, coded: CodedClip, restored_before: np.ndarray | None = None) -> RecoveredClip:
        """Restore the broken and lost pictures in decoding order; correct what depends on them along the vectors.

        restored_before: uint8 [N, H, W, 3], the first N pictures, which are restored already.
        """
        sent = coded.clip
        corrector = DependentCorrector(sent, self.work.device)
        restored, seen = dict[int, np.ndarray](), dict[int, PictureDamage]()
        if restored_before is not None:
            damaged = np.flatnonzero(sent.status[: len(restored_before)] != AccessUnitStatus.INTACT)
            restored = {int(slot): restored_before[slot] for slot in damaged}
        clip = self._corrected(sent, corrector, restored)
        total = int(_own_damage(sent.status).sum())
        while chosen := next_broken(_lost_as_broken(clip), set(restored)):
            for slot, (_, damage, picture) in zip(chosen, self.work.restored(clip, chosen), strict=True):
                seen[slot], restored[slot] = damage, picture
                self.work.progress("recover", len(seen), total)
            clip = self._corrected(sent, corrector, restored)
        found = masks_by_difference(sent.frames, (clip.frames,), seen, (), self.difference_levels)
        slots = tuple(sorted(seen))
        return RecoveredClip(clip.frames, found, "drift", None, slots, self.work.seconds, sent.notes)

    def _corrected(
        self, sent: ParsedClip, corrector: DependentCorrector, restored: dict[int, np.ndarray]
    ) -> ParsedClip:
        """Return the clip with pictures restored, and what depends on them corrected."""
        if not restored:
            return sent
        with self.work.timed("drift"):
            return dataclasses.replace(sent, frames=corrector.frames(restored), status=corrector.status(restored))


def _own_damage(status: np.ndarray) -> np.ndarray:
    """Which pictures are broken or lost themselves."""
    return np.isin(status, NOT_WHOLE)


def _lost_as_broken(clip: ParsedClip) -> ParsedClip:
    return dataclasses.replace(clip, status=np.where(_own_damage(clip.status), AccessUnitStatus.BROKEN, clip.status))
