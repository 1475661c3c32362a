"""Frames mode: every damaged picture is restored on its own, and nothing is put into the stream."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.part import Part, PartMasks
from b2scvr.cfc import MaskedClip
from b2scvr.ops.masks import visibly_overwritten
from b2scvr.pipeline.detection import detect_clip
from b2scvr.pipeline.pictures import WRONG, PictureWork, damaged_slots
from b2scvr.types import AccessUnitStatus, CorruptionMasks, Progress, RecoveredClip


class FramesMode:
    """Recovers clips picture by picture, or window by window with a restorer that takes clips."""

    def __init__(self, work: PictureWork) -> None:
        self.work = work

    @property
    def takes_clips(self) -> bool:
        """Whether the restorer works at clips, window by window."""
        return hasattr(self.work.restorer, "restore_clips")

    def recover(
        self, coded: CodedClip, given: np.ndarray | None, restored_before: np.ndarray | None = None
    ) -> RecoveredClip:
        """Restore every damaged picture; `given`: masks instead of detection, uint8 [T, H, W].

        restored_before: uint8 [N, H, W, 3], the first N pictures, which are restored already.
        """
        if not self.takes_clips:
            return self._recover_pictures(coded, given, restored_before)
        whole = Part(coded, slice(0, len(coded.clip)), 0)
        masks = None if given is None else lambda _: given
        [(_, recovered)] = self.recover_parts([whole], masks)
        return recovered

    def recover_parts(self, parts: Iterable[Part], given: PartMasks | None) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts of a file, in order, with their own pictures restored; windows reach from part to part.

        A part comes once no window needs its pictures any more: meanwhile the next one is read.
        """
        restorer = self.work.restorer
        feed = _Feed(self.work, parts, given)
        pictures = restorer.restore_clips(feed.clips(), self.work.size)  # type: ignore[attr-defined]
        while True:
            started, feed.seconds = time.perf_counter(), 0.0
            picture = next(pictures, None)
            if picture is None:
                return
            first = feed.waiting[0]
            first.take(picture, time.perf_counter() - started - feed.seconds)
            if first.is_whole:
                feed.waiting.popleft()
                yield first.part, first.recovered(restorer.notes(first.part.coded.clip))  # type: ignore[attr-defined]
                del first  # before the next ones come

    def _recover_pictures(
        self, coded: CodedClip, given: np.ndarray | None, restored_before: np.ndarray | None
    ) -> RecoveredClip:
        """Restore in decoding order; a restored picture counts as intact from then on."""
        clip = dataclasses.replace(coded.clip, frames=coded.clip.frames.copy(), status=coded.clip.status.copy())
        found = CorruptionMasks.blank(clip)
        if given is not None:
            clip.status[:] = np.where(given.any(axis=(1, 2)), AccessUnitStatus.DEPENDENT, AccessUnitStatus.INTACT)
        if restored_before is not None:
            clip.frames[: len(restored_before)] = restored_before
            clip.status[: len(restored_before)] = AccessUnitStatus.INTACT
        damaged = damaged_slots(clip)
        for number, slot in enumerate(damaged, 1):
            around, damage = self.work.look(clip, slot, None if given is None else given[slot])
            mask = np.logical_or(damage.mask >= WRONG, clip.lost[slot])
            restored = self.work.restore(around, damage)
            if given is None:  # beside what is restored: what the decoder had read, and overwrote
                found.masks[slot] = np.logical_or(mask, visibly_overwritten(clip, slot))
                clip.frames[slot] = np.where(mask[..., None], restored, around.decoded)
            else:
                found.masks[slot] = mask
                clip.frames[slot] = np.where(mask[..., None], restored, clip.frames[slot])
            found.confidence[slot] = damage.confidence
            clip.status[slot] = AccessUnitStatus.INTACT
            self.work.progress("recover", number, len(damaged))
        slots = tuple(sorted(damaged))
        return RecoveredClip(clip.frames, found, "frames", None, slots, self.work.seconds, clip.notes)


class _Feed:
    """The parts that the restorer was given, and what of them did not come back yet."""

    def __init__(self, work: PictureWork, parts: Iterable[Part], given: PartMasks | None) -> None:
        self.work, self.parts, self.given = work, parts, given
        self.waiting: deque[_Waiting] = deque()
        self.seconds = 0.0  # that reading and detecting took since it was set

    def clips(self) -> Iterator[MaskedClip]:
        """Yield the clips as the restorer asks for them."""
        started = time.perf_counter()
        for part in self.parts:
            self.waiting.append(self._found(part))
            self.seconds += time.perf_counter() - started
            yield MaskedClip(part.coded.clip, self.waiting[-1].found.masks, part.own)
            del part
            started = time.perf_counter()
        self.seconds += time.perf_counter() - started

    def _found(self, part: Part) -> _Waiting:
        clip, masks = part.coded.clip, None if self.given is None else self.given(part)
        if masks is None and not part.is_damaged:
            found = CorruptionMasks.blank(clip)
        elif masks is None:
            found = detect_clip(self.work, part.coded)
        else:
            found = CorruptionMasks(masks, np.ones(len(clip), np.float32)).validate(clip)
        found.masks = np.maximum(found.masks, clip.lost[:, None, None])
        mode = "frames" if part.is_damaged or masks is not None else "untouched"
        part.recovered = RecoveredClip(clip.frames, found, mode, None, (), {})  # nothing is put into the stream
        return _Waiting(part, found, mode, self.work.progress, self.work.seconds)


@dataclasses.dataclass
class _Waiting:
    """A part, of which some pictures are restored."""

    part: Part
    found: CorruptionMasks
    mode: str
    progress: Progress
    seconds: dict[str, float]

    def __post_init__(self) -> None:
        self.frames, self.done = self.part.coded.clip.frames.copy(), 0

    @property
    def is_whole(self) -> bool:
        return self.done == len(self.part)

    def take(self, picture: np.ndarray, seconds: float) -> None:
        """Take the next own picture, uint8 [H, W, 3], which took so long."""
        self.frames[self.part.own.start + self.done] = picture
        self.done += 1
        self.seconds["recover"] = self.seconds.get("recover", 0.0) + seconds
        self.progress("recover", self.done, len(self.part))

    def recovered(self, notes: tuple[str, ...]) -> RecoveredClip:
        """Return the part recovered."""
        marked = np.flatnonzero(self.found.masks.any(axis=(1, 2)))
        slots = tuple(int(slot) for slot in marked if self.part.own.start <= slot < self.part.own.stop)
        told = (*self.part.coded.clip.notes, *notes)
        return RecoveredClip(self.frames, self.found, self.mode, None, slots, self.seconds, told)
