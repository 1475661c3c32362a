"""The masks of a whole clip, or of a file's parts one after another, without restoring anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.part import Part
from b2scvr.ops.masks import visibly_overwritten
from b2scvr.pipeline.pictures import WRONG, PictureWork, damaged_slots
from b2scvr.types import CorruptionMasks, FirstMask, InputError, PictureDamage


def detect_clip(work: PictureWork, coded: CodedClip, first_mask: FirstMask | None = None) -> CorruptionMasks:
    """Return the masks of all damaged pictures of a clip; see `PartDetection`."""
    detection = PartDetection(work, first_mask)
    found = detection.of(Part(coded, slice(0, len(coded.clip)), 0))
    detection.finish()
    return found


class PartDetection:
    """Finds the damage of the parts of one file, in order.

    A detector has `detect`, which judges one picture; `track`, which judges those of a clip, and may know a first mask; or
    `begin`, whose `follow` goes from picture to picture through the parts.

    first_mask: from which a detector that tracks starts. Raises InputError when the detector does not track.
    """

    def __init__(self, work: PictureWork, first_mask: FirstMask | None = None) -> None:
        self.work, self.first_mask = work, first_mask
        begin = getattr(work.detector, "begin", None)
        self._tracking = None if begin is None else begin(first_mask)
        self._track = getattr(work.detector, "track", None)
        if first_mask is not None and self._track is None and begin is None:
            raise InputError("the config's detector judges every picture on its own: it takes no first mask")
        self._last: tuple[int, np.ndarray] | None = None  # of the part before: its first own picture, and masks

    def of(self, part: Part) -> CorruptionMasks:
        """Return the masks of a part; a detector that tracks gives those of all pictures that it was read with."""
        clip = part.coded.clip
        self._require_size(clip.frames.shape[1:3])
        found = CorruptionMasks.blank(clip)
        for number, (slot, damage) in enumerate(self._detected(part), 1):
            found.masks[slot], found.confidence[slot] = damage.mask >= WRONG, damage.confidence
            self.work.progress("detect", number, len(clip))
        if self._tracking is not None:
            self._recall(part, found.masks)
        return found

    def finish(self) -> None:
        """Say that there are no more parts. Raises InputError when the detector found no picture to start from."""
        if self._tracking is not None:
            self._tracking.finish()

    def _detected(self, part: Part) -> Iterator[tuple[int, PictureDamage]]:
        """Yield slot and damage: of every picture where the detector tracks, else of the damaged own ones."""
        clip = part.coded.clip
        if self._tracking is not None:
            with self.work.timed("detect"):
                yield from enumerate(self._tracking.follow(clip, part.own, part.start), part.own.start)
        elif self._track is not None:
            first = None if self.first_mask is None else (self.first_mask[0] - part.start, self.first_mask[1])
            if first is None or first[0] < len(clip):  # else nothing of this part is damaged
                with self.work.timed("detect"):
                    yield from enumerate(self._track(clip, first if first and first[0] >= 0 else None))
        else:
            for slot in [slot for slot in damaged_slots(clip) if part.own.start <= slot < part.own.stop]:
                damage = self.work.look(clip, slot)[1]
                damage.mask = np.maximum(damage.mask, visibly_overwritten(clip, slot))
                yield slot, damage

    def _recall(self, part: Part, masks: np.ndarray) -> None:
        """Put in what was found of the pictures that were read before a part's own: they were its predecessor's."""
        if self._last is not None and part.own.start:
            masks[: part.own.start] = self._last[1][part.start - self._last[0] :][: part.own.start]
        self._last = part.first, part.take(masks)

    def _require_size(self, size: tuple[int, ...]) -> None:
        if self.first_mask is not None and self.first_mask[1].shape != size:
            (height, width), (tall, wide) = self.first_mask[1].shape, size
            raise InputError(f"the first mask is {width}x{height}, the input {wide}x{tall}: it takes one as large")
