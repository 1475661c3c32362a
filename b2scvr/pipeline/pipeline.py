"""A damaged stream in, a repaired one out: read, detect, restore, splice, decode again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.part import Part, PartMasks, Telling
from b2scvr.bitstream.reader import decode_guarded
from b2scvr.ops.masks import DIFFERENCE_LEVELS
from b2scvr.pipeline.detection import PartDetection, detect_clip
from b2scvr.pipeline.difference import masks_by_difference
from b2scvr.pipeline.drift_mode import DriftMode
from b2scvr.pipeline.frames_mode import FramesMode
from b2scvr.pipeline.pictures import PictureDetector, PictureRestorer, PictureWork, no_progress
from b2scvr.pipeline.splice_mode import Decode, SpliceMode
from b2scvr.types import AccessUnitStatus, CorruptionMasks, FirstMask, Progress, RecoveredClip, SpliceError

MODES = ("auto", "splice", "drift", "frames")


class Pipeline:
    """Recovers clips with one detector and one restorer.

    mode: "splice" (restore the broken pictures inside the stream; SpliceError where that cannot be done), "drift" (restore
    the broken pictures, correct what depends on them along the stream's vectors), "frames" (every damaged picture on its
    own), "auto" (splice where possible, else drift, else frames, with a note). size: (width, height) at which the restorer
    works; None is the native one. decode: how repaired streams are read. device: where drift is corrected.
    difference_levels: of 255; a pixel that the repair changed by more counts as damaged. hindsight: see PictureWork.
    """

    def __init__(
        self,
        detector: PictureDetector,
        restorer: PictureRestorer,
        mode: str = "auto",
        size: tuple[int, int] | None = None,
        decode: Decode = decode_guarded,
        device: torch.device | str = "cpu",
        difference_levels: int = DIFFERENCE_LEVELS,
        hindsight: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.mode, self.detector = mode, detector
        self._work = PictureWork(detector, restorer, size, torch.device(device), hindsight)
        self._splice = SpliceMode(self._work, decode, difference_levels)
        self._drift = DriftMode(self._work, difference_levels)
        self._frames = FramesMode(self._work)
        self.tracks = hasattr(detector, "begin")  # from picture to picture: it can't judge one
        self.needs_clip = bool(getattr(detector, "needs_clip", False))  # parts of a clip are not enough
        self.detects_first = mode == "frames" and self._frames.takes_clips and not self.tracks

    def recover_parts(
        self, parts: Iterable[Part], given: PartMasks | None, telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts of a file, in order, recovered; a part without damage of its own is left as it is.

        given: the masks of a part, see `recover`; first_mask: from which the others are tracked before anything is
        recovered; telling: what a part's progress is told to.
        """
        begun = self._begun(parts, telling)
        if given is None and (self.tracks or first_mask is not None):
            tracked = _Tracked(PartDetection(self._work, first_mask), self.mode)
            yield from self._recover_parts(begun, tracked.of)
            tracked.detection.finish()
        else:
            yield from self._recover_parts(begun, given)

    def detect_parts(
        self, parts: Iterable[Part], telling: Telling, first_mask: FirstMask | None = None
    ) -> Iterator[tuple[Part, RecoveredClip]]:
        """Yield the parts of a file, in order, with the masks of their damaged pictures alone; see `recover_parts`."""
        detection = PartDetection(self._work, first_mask)
        for part in self._begun(parts, telling):
            clip, masks = part.coded.clip, CorruptionMasks.blank(part.coded.clip)
            if part.is_damaged or self.tracks or first_mask is not None:
                masks = detection.of(part)
            part.recovered = RecoveredClip(clip.frames, masks, "detect", None, (), self._work.seconds, clip.notes)
            yield part, part.recovered
            del part, clip, masks  # before the next ones come
        detection.finish()

    def _recover_parts(self, parts: Iterable[Part], given: PartMasks | None) -> Iterator[tuple[Part, RecoveredClip]]:
        if self._frames.takes_clips and (self.mode == "frames" or given is not None):
            yield from self._frames.recover_parts(parts, given)
            return
        for part in parts:
            masks = None if given is None else given(part)
            if masks is None and not part.is_damaged:
                part.recovered = _untouched(part.coded)
            else:
                part.recovered = self._recover(part.coded, masks, part.repaired_before, part.restored_before)
            yield part, part.recovered
            del part, masks  # before the next ones come

    def _begun(self, parts: Iterable[Part], telling: Telling) -> Iterator[Part]:
        for part in parts:
            self._work.begin(telling(part))
            yield part
            del part  # before the next one comes

    def recover(
        self, coded: CodedClip, given_masks: np.ndarray | None = None, progress: Progress = no_progress
    ) -> RecoveredClip:
        """Return `coded` recovered. given_masks: uint8 [T, H, W], 1 = corrupted, instead of detection (frames mode).

        `coded.clip` is not changed but for the vectors next to broken pictures, which are read again (restore_vectors).
        """
        self._work.begin(progress)
        return self._recover(coded, given_masks)

    def _recover(
        self,
        coded: CodedClip,
        given_masks: np.ndarray | None,
        repaired_before: CodedClip | None = None,
        restored_before: np.ndarray | None = None,
    ) -> RecoveredClip:
        """Recover a clip, or a part that may begin behind what was recovered before it (Part)."""
        clip = coded.clip
        if given_masks is not None:
            CorruptionMasks(given_masks, np.ones(len(clip), np.float32)).validate(clip)
            return self._frames.recover(coded, given_masks, restored_before)
        if not (clip.status != AccessUnitStatus.INTACT).any():
            return _untouched(coded)
        if self.tracks:
            _require_unspliced(self.mode)
            return self._frames.recover(coded, detect_clip(self._work, coded).masks)
        if self.mode == "frames":
            return self._frames.recover(coded, None, restored_before)
        if self.mode == "drift":
            return self._recover_unspliced(coded, restored_before)
        try:
            return self._splice.recover(coded, self.mode == "auto", repaired_before)
        except SpliceError as error:
            if self.mode == "splice":
                raise
            if repaired_before is None:
                return self._recover_unspliced(coded, restored_before, str(error))
            recovered = self._recover_unspliced(repaired_before, None, str(error))
            carried = masks_by_difference(clip.frames, (recovered.frames,), {}, (), self._splice.difference_levels)
            recovered.masks.masks |= carried.masks
            return recovered

    def detect(
        self, coded: CodedClip, progress: Progress = no_progress, first_mask: FirstMask | None = None
    ) -> CorruptionMasks:
        """Return the masks of all damaged pictures of `coded` without restoring any; see `detect_clip`."""
        self._work.begin(progress)
        return detect_clip(self._work, coded, first_mask)

    def _recover_unspliced(self, coded: CodedClip, restored_before: np.ndarray | None, *reasons: str) -> RecoveredClip:
        """Recover along the stream's vectors where it has some, else picture by picture; a note gives the reasons."""
        clip = coded.clip
        if not (clip.mv_past_valid.any() or clip.mv_future_valid.any()):
            reasons += ("there are no motion vectors to correct dependents along",)
            recovered = self._frames.recover(coded, None, restored_before)
        elif restored_before is None and not (clip.status == AccessUnitStatus.BROKEN).any():
            reasons += ("no picture is broken itself",)
            recovered = self._frames.recover(coded, None)
        else:
            recovered = self._drift.recover(coded, restored_before)
        notes = (f"recovered in {recovered.mode} mode: {'; '.join(reasons)}",) if reasons else ()
        return dataclasses.replace(recovered, notes=recovered.notes + notes)


class _Tracked:
    """The masks that a detector finds, in place of given ones; None for a part that nothing touched."""

    def __init__(self, detection: PartDetection, mode: str) -> None:
        self.detection, self.mode = detection, mode

    def of(self, part: Part) -> np.ndarray | None:
        """Return the masks of all pictures of a part, uint8 [T, H, W]. Parts must come in order."""
        if self.detection.first_mask is not None:
            return self.detection.of(part).masks
        if part.is_damaged:
            _require_unspliced(self.mode)
        masks = self.detection.of(part).masks  # of an intact part too: what comes behind is tracked through it
        return masks if part.is_damaged else None


def _require_unspliced(mode: str) -> None:
    if mode == "splice":
        raise SpliceError("this detector tracks through whole clips; broken pictures alone it can't judge")


def _untouched(coded: CodedClip) -> RecoveredClip:
    """What comes back as it came. What is around a part's own pictures may be damaged: that is another part's."""
    clip = coded.clip
    blank = CorruptionMasks.blank(clip)
    return RecoveredClip(clip.frames, blank, "untouched", coded.stream(), (), {}, clip.notes)
