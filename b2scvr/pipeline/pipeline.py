"""A damaged stream in, a repaired one out: read, detect, restore, splice, decode again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

import numpy as np
import torch

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.levels import level_notes
from b2scvr.bitstream.planes import merge_planes, rgb_to_planes
from b2scvr.bitstream.reader import decode_guarded
from b2scvr.bitstream.rebuild import Rebuilt, mark_unrestored, rebuild_lost, repair_notes
from b2scvr.bitstream.repair import VECTOR_FIELDS, next_broken, require_spliceable, restore_vectors, splice_stream
from b2scvr.dac.tracker import given_damage
from b2scvr.fill import surroundings
from b2scvr.fill.hindsight import hindsight
from b2scvr.fill.interpolated import keep_interpolated
from b2scvr.fill.resize import resize_damage, resize_picture, resize_surroundings
from b2scvr.ops.compute import side_by_side
from b2scvr.ops.dependents import DependentCorrector
from b2scvr.ops.masks import DIFFERENCE_LEVELS, at_pixels, damage_mask_by_guesses, within
from b2scvr.types import (
    AccessUnitStatus,
    CorruptionMasks,
    InputError,
    ParsedClip,
    PictureDamage,
    PictureType,
    Planes,
    RecoveredClip,
    SpliceError,
    Surroundings,
)

Progress = Callable[[str, int, int], None]  # stage, done, total
Decode = Callable[[bytes], CodedClip]
MODES = ("auto", "splice", "drift", "frames")
SENT_FIELDS = (*VECTOR_FIELDS, "noticed", "exhausted")  # what a stream said before it was repaired
WRONG = 0.5  # a pixel at least this probably wrong is marked, and in frames mode replaced
REPLACED = (
    0.2  # a macroblock at least this probably wrong is: one that stays wrong costs more than one replaced though right
)


def no_progress(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class PictureDetector(Protocol):
    """Finds where one picture is damaged."""

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Return the damage of the picture that `surroundings` is about."""
        ...


class PictureRestorer(Protocol):
    """Restores one damaged picture."""

    def restore(self, surroundings: Surroundings, damage: PictureDamage) -> np.ndarray:
        """Return the restored picture, uint8 [H, W, 3]."""
        ...


class Pipeline:
    """Recovers clips with one detector and one restorer.

    mode: "splice" (restore the broken pictures inside the stream; SpliceError where that cannot be done), "drift" (restore
    the broken pictures, correct what depends on them along the stream's vectors), "frames" (every damaged picture on its
    own), "auto" (splice where possible, else drift, else frames, with a note). size: (width, height) at which the restorer
    works; None is the native one. decode: how repaired streams are read. device: where drift is corrected.
    difference_levels: of 255; a pixel that the repair changed by more counts as damaged. hindsight: broken pictures, once
    restored, are moved towards what the next right picture says of them (fill.hindsight).
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
        self.detector, self.restorer, self.mode, self.size, self.decode = detector, restorer, mode, size, decode
        self.device, self.difference_levels, self.hindsight = torch.device(device), difference_levels, hindsight
        self.seconds: dict[str, float] = {}  # of each stage, added up where pictures are worked at side by side
        self.progress: Progress = no_progress
        self._one_at_a_time, self._clock = Lock(), Lock()

    @property
    def works_in_parts(self) -> bool:
        """Whether a long clip may come part by part: what is around a damaged picture is all that is looked at."""
        return not self._needs_clip and not (self.mode == "frames" and hasattr(self.restorer, "restore_clip"))

    @property
    def _needs_clip(self) -> bool:
        """Whether the detector tracks through whole clips."""
        return getattr(self.detector, "needs_clip", False)

    def recover(
        self, coded: CodedClip, given_masks: np.ndarray | None = None, progress: Progress = no_progress
    ) -> RecoveredClip:
        """Return `coded` recovered. given_masks: uint8 [T, H, W], 1 = corrupted, instead of detection (frames mode).

        `coded.clip` is not changed but for the vectors next to broken pictures, which are read again (restore_vectors).
        """
        self.seconds, self.progress = {}, progress
        clip = coded.clip
        if given_masks is not None:
            CorruptionMasks(given_masks, np.ones(len(clip), np.float32)).validate(clip)
            return self._recover_frames(coded, given_masks)
        if not (clip.status != AccessUnitStatus.INTACT).any():
            blank = CorruptionMasks.blank(clip)
            return RecoveredClip(clip.frames, blank, "untouched", coded.stream(), (), self.seconds, clip.notes)
        if self._needs_clip:
            if self.mode == "splice":
                raise SpliceError("this detector tracks through whole clips; broken pictures alone it can't judge")
            return self._recover_frames(coded, self.detect(coded, progress).masks)
        if self.mode == "frames":
            return self._recover_frames(coded, None)
        if self.mode == "drift":
            return self._recover_unspliced(coded)
        try:
            with self._timed("parse"):
                whole, rebuilt = rebuild_lost(coded, self.decode)
            require_spliceable(whole)
            if self.mode == "auto" and not next_broken(whole.clip, set()):
                raise SpliceError("no picture is left to replace: the damage comes from access units that were lost")
            return self._recover_splice(coded, whole, rebuilt)
        except SpliceError as error:
            if self.mode == "splice":
                raise
            return self._recover_unspliced(coded, str(error))

    def detect(
        self, coded: CodedClip, progress: Progress = no_progress, first_mask: tuple[int, np.ndarray] | None = None
    ) -> CorruptionMasks:
        """Return the masks of all damaged pictures of `coded` without restoring any.

        first_mask: (display index, uint8 [H, W]) of the first damaged picture, from which a detector that tracks starts.
        Raises InputError when the detector does not track.
        """
        self.seconds, self.progress = {}, progress
        clip = coded.clip
        found = CorruptionMasks.blank(clip)
        for number, (slot, damage) in enumerate(self._detect(clip, first_mask), 1):
            found.masks[slot], found.confidence[slot] = damage.mask >= WRONG, damage.confidence
            self.progress("detect", number, len(clip))
        return found

    def _detect(
        self, clip: ParsedClip, first_mask: tuple[int, np.ndarray] | None
    ) -> Iterator[tuple[int, PictureDamage]]:
        """Yield display index and damage: of every picture where the detector tracks, else of the damaged ones."""
        track = getattr(self.detector, "track", None)
        if track is not None:
            yield from enumerate(track(clip, first_mask))
            return
        if first_mask is not None:
            raise InputError("the config's detector judges every picture on its own: it takes no first mask")
        for slot in _damaged(clip):
            yield slot, self._look(clip, slot)[1]

    def _recover_splice(self, coded: CodedClip, whole: CodedClip, rebuilt: Rebuilt) -> RecoveredClip:
        """Recover `coded` inside its stream; `whole` is `coded` with its lost access units rebuilt."""
        with self._timed("parse"):
            restore_vectors(whole, self.decode)
        repaired, filled, judged = self._repair(whole, rebuilt)
        done = sorted(judged)
        # What the repair did not reach predicts from what never arrived.
        left = _damaged(repaired.clip)
        judged |= {slot: self._look(repaired.clip, slot)[1] for slot in left if slot not in judged}
        number = {
            slot: place for place, slot in enumerate(np.setdiff1d(range(len(whole.clip)), rebuilt.added).tolist())
        }
        frames, second = (
            one.clip.frames[list(number)] if rebuilt.added else one.clip.frames for one in (repaired, filled)
        )
        masks = _masks_by_difference(
            coded.clip.frames, (frames, second), {number[slot]: judged[slot] for slot in judged if slot in number},
            [number[slot] for slot in left if slot in number], self.difference_levels,
        )  # fmt: skip
        notes = (*whole.clip.notes, *repair_notes(repaired.clip, rebuilt))
        grown = tuple(level_notes(coded.access_units, repaired.access_units, whole.clip.fps))
        restored = tuple(number[slot] for slot in done if slot in number)
        return RecoveredClip(
            frames, masks, "splice", repaired.stream(), restored, self.seconds, notes, grown, rebuilt.added
        )

    def _repair(self, whole: CodedClip, rebuilt: Rebuilt) -> tuple[CodedClip, CodedClip, dict[int, PictureDamage]]:
        """Restore the broken and the rebuilt pictures of `whole`, in decoding order, from what is right around them.

        Returns the repaired stream, `whole` repaired with the classical fills alone, and the damage of each restored picture
        by display index.
        """
        sent, repaired, filled = whole.clip, whole, whole
        fills, judged = dict[int, Planes](), dict[int, PictureDamage]()
        total = int((sent.status == AccessUnitStatus.BROKEN).sum())
        is_filled = True  # what is restored are the fills themselves
        while chosen := next_broken(repaired.clip, set(fills)):
            clip = _with_vectors(repaired.clip, sent)
            pictures = {}
            for slot, (around, damage, restored) in zip(chosen, self._restored(clip, chosen), strict=True):
                judged[slot], fills[slot] = damage, _samples(clip, slot, around.fill, damage)
                pictures[slot] = _samples(clip, slot, restored, damage)
                is_filled &= pictures[slot].has_samples_of(fills[slot])
                self.progress("recover", len(fills), max(total, len(fills)))
            # With the last of them, the fills' stream too: each decode takes one core.
            streams = [(repaired, pictures), (whole, fills)][: 2 if len(fills) >= total and not is_filled else 1]
            with self._timed("splice"):
                repaired, filled = (*side_by_side(self._splice, streams, self.device), filled)[:2]
            mark_unrestored(
                repaired.clip, {slot: rebuilt.samples[slot] for slot in rebuilt.samples if slot not in fills}
            )
        if is_filled:
            filled = repaired
        elif len(fills) < total:  # what was broken became right with what was restored before
            filled = self._splice((whole, fills))
        return repaired, filled, judged

    def _splice(self, stream: tuple[CodedClip, dict[int, Planes]]) -> CodedClip:
        """Put pictures into a stream and decode it; slices that stayed but still read as broken go in a second try."""
        coded, pictures = stream
        spliced = self.decode(b"".join(splice_stream(coded, pictures)) + coded.suffix)
        left = [s for s in pictures if s < len(spliced.clip) and spliced.clip.status[s] == AccessUnitStatus.BROKEN]
        if left:
            spliced = self.decode(b"".join(splice_stream(coded, pictures, whole=left)) + coded.suffix)
        if not np.array_equal(spliced.clip.decode_index, coded.clip.decode_index):
            raise SpliceError("the repaired stream shows pictures in another order: access units are out of place")
        refused = [slot for slot in pictures if spliced.clip.lost[slot]]
        if refused:
            raise SpliceError(
                f"picture {refused[0]} is not decoded as it was put in: the headers around it are garbage"
            )
        return spliced

    def _recover_unspliced(self, coded: CodedClip, *reasons: str) -> RecoveredClip:
        """Recover along the stream's vectors where it has some, else picture by picture; a note gives the reasons."""
        clip = coded.clip
        if not (clip.mv_past_valid.any() or clip.mv_future_valid.any()):
            reasons += ("there are no motion vectors to correct dependents along",)
            recovered = self._recover_frames(coded, None)
        elif not (clip.status == AccessUnitStatus.BROKEN).any():
            reasons += ("no picture is broken itself",)
            recovered = self._recover_frames(coded, None)
        else:
            recovered = self._recover_drift(coded)
        notes = (f"recovered in {recovered.mode} mode: {'; '.join(reasons)}",) if reasons else ()
        return dataclasses.replace(recovered, notes=recovered.notes + notes)

    def _recover_drift(self, coded: CodedClip) -> RecoveredClip:
        """Restore the broken and lost pictures in decoding order; correct what depends on them along the vectors."""
        sent = coded.clip
        corrector = DependentCorrector(sent, self.device)
        clip, restored, seen = sent, dict[int, np.ndarray](), dict[int, PictureDamage]()
        total = int(_own_damage(sent.status).sum())
        while chosen := next_broken(_lost_as_broken(clip), set(restored)):
            for slot, (_, seen[slot], picture) in zip(chosen, self._restored(clip, chosen), strict=True):
                pixels = at_pixels(_wrong(clip, slot, seen[slot]), *clip.frames.shape[1:3])[..., None]
                restored[slot] = np.where(pixels, picture, clip.frames[slot])
                self.progress("recover", len(restored), total)
            with self._timed("drift"):
                frames, status = corrector.frames(restored), corrector.status(restored)
            clip = dataclasses.replace(sent, frames=frames, status=status)
        found = _masks_by_difference(sent.frames, (clip.frames,), seen, (), self.difference_levels)
        return RecoveredClip(clip.frames, found, "drift", None, tuple(sorted(restored)), self.seconds, sent.notes)

    def _recover_frames(self, coded: CodedClip, given: np.ndarray | None) -> RecoveredClip:
        """Restore every damaged picture in decoding order, on its own; a restored picture counts as intact from then on."""
        clip = dataclasses.replace(coded.clip, frames=coded.clip.frames.copy(), status=coded.clip.status.copy())
        masks = np.zeros(clip.frames.shape[:3], np.uint8)
        confidence = np.ones(len(clip), np.float32)
        restore_clip = getattr(self.restorer, "restore_clip", None)  # takes whole clips, window by window
        if restore_clip is not None:
            found = self.detect(coded, self.progress) if given is None else CorruptionMasks(given, confidence)
            found.masks = np.maximum(found.masks, clip.lost[:, None, None])
            with self._timed("recover"):
                frames, notes = restore_clip(clip, found.masks, self.size, self.progress)
            slots = tuple(int(slot) for slot in np.flatnonzero(found.masks.any(axis=(1, 2))))
            return RecoveredClip(frames, found, "frames", None, slots, self.seconds, (*clip.notes, *notes))
        if given is not None:
            clip.status[:] = np.where(given.any(axis=(1, 2)), AccessUnitStatus.DEPENDENT, AccessUnitStatus.INTACT)
        damaged = _damaged(clip)
        for number, slot in enumerate(damaged, 1):
            around, damage = self._look(clip, slot, None if given is None else given[slot])
            mask = np.logical_or(damage.mask >= WRONG, clip.lost[slot])
            clip.frames[slot] = np.where(mask[..., None], self._restore(around, damage), clip.frames[slot])
            clip.status[slot] = AccessUnitStatus.INTACT
            masks[slot], confidence[slot] = mask, damage.confidence
            self.progress("recover", number, len(damaged))
        found = CorruptionMasks(masks, confidence)
        return RecoveredClip(clip.frames, found, "frames", None, tuple(sorted(damaged)), self.seconds, clip.notes)

    def _restored(
        self, clip: ParsedClip, slots: Sequence[int]
    ) -> Iterator[tuple[Surroundings, PictureDamage, np.ndarray]]:
        """Yield what surrounds each of the pictures, its damage and itself restored; none of them needs another."""

        def work(slot: int) -> tuple[Surroundings, PictureDamage, np.ndarray]:
            around, damage = self._look(clip, slot)
            restored = self._restore(around, damage)
            wrong, after = at_pixels(_wrong(clip, slot, damage), *restored.shape[:2]), slot + int(around.distance[-1])
            with self._timed("recover"):
                if clip.picture_type[slot] == PictureType.I:
                    restored = keep_interpolated(around, restored, wrong)
                if self.hindsight and after > slot:
                    restored = hindsight(clip, slot, after, restored, wrong)
            return around, damage, restored

        return side_by_side(work, slots, self.device)

    def _look(self, clip: ParsedClip, slot: int, given: np.ndarray | None = None) -> tuple[Surroundings, PictureDamage]:
        with self._timed("fill"):
            around = surroundings(clip, slot)
        if given is not None:
            return around, given_damage(given, around.concealed.shape)
        with self._one_at_a_time, self._timed("detect"):  # detectors remember pictures
            damage = self.detector.detect(around)
        return around, within(damage, clip.concealed[slot]) if clip.is_cut_off and clip.exhausted[slot] else damage

    def _restore(self, around: Surroundings, damage: PictureDamage) -> np.ndarray:
        with self._timed("recover"):
            if self.size is None:
                return self.restorer.restore(around, damage)
            small = self.restorer.restore(resize_surroundings(around, self.size), resize_damage(damage, self.size))
            height, width = around.decoded.shape[:2]
            return resize_picture(small, (width, height))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        with self._clock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def _samples(clip: ParsedClip, slot: int, picture: np.ndarray, damage: PictureDamage) -> Planes:
    """Return the samples of picture `slot`: of `picture`, uint8 [H, W, 3], where it was wrong, else as decoded."""
    planes = rgb_to_planes(picture, *clip.colour, clip.pixel_format, clip.planes[slot].interlaced)
    left, _, top, _ = clip.crop
    return merge_planes(clip.planes[slot], planes, _wrong(clip, slot, damage), (top, left))


def _wrong(clip: ParsedClip, slot: int, damage: PictureDamage) -> np.ndarray:
    """Which macroblocks of picture `slot` are replaced, bool [h, w]."""
    return np.logical_or(damage.macroblocks >= REPLACED, clip.lost[slot])


def _damaged(clip: ParsedClip) -> list[int]:
    """Display indices of the damaged pictures, in decoding order."""
    return [int(slot) for slot in np.argsort(clip.decode_index) if clip.status[slot] != AccessUnitStatus.INTACT]


def _own_damage(status: np.ndarray) -> np.ndarray:
    """Which pictures are broken or lost themselves."""
    return np.isin(status, (AccessUnitStatus.BROKEN, AccessUnitStatus.LOST))


def _lost_as_broken(clip: ParsedClip) -> ParsedClip:
    return dataclasses.replace(clip, status=np.where(_own_damage(clip.status), AccessUnitStatus.BROKEN, clip.status))


def _with_vectors(clip: ParsedClip, sent: ParsedClip) -> ParsedClip:
    """`clip` (a decode of the partly repaired stream) with the vectors of `sent`, and where errors were noticed in it."""
    return dataclasses.replace(clip, **{name: getattr(sent, name) for name in SENT_FIELDS})


def _masks_by_difference(
    decoded: np.ndarray,
    guesses: Sequence[np.ndarray],
    judged: dict[int, PictureDamage],
    left: Collection[int],
    levels: int,
) -> CorruptionMasks:
    """Masks of a repaired clip: what repair changed visibly; in pictures that it left as they were, what the detector saw.

    guesses: clips uint8 [T, H, W, 3], each repaired, the first one is what is shown; judged: what the detector said, by
    display index; left: the pictures that are still damaged.
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
