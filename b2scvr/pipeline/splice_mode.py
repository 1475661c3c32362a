"""Splice mode: broken pictures are restored and put back into the stream, whose decoder repairs the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from b2scvr.bitstream.assembly import CodedClip
from b2scvr.bitstream.levels import level_notes
from b2scvr.bitstream.planes import grow_grid, merge_planes, rgb_to_planes
from b2scvr.bitstream.rebuild import Rebuilt, mark_unrestored, rebuild_lost, repair_notes
from b2scvr.bitstream.repair import VECTOR_FIELDS, next_broken, require_spliceable, restore_vectors, splice_stream
from b2scvr.ops.compute import side_by_side
from b2scvr.pipeline.difference import masks_by_difference
from b2scvr.pipeline.pictures import PictureWork, damaged_slots, wrong
from b2scvr.types import (
    MB_SIZE,
    AccessUnitStatus,
    InputError,
    ParsedClip,
    PictureDamage,
    Planes,
    RecoveredClip,
    SpliceError,
)

Decode = Callable[[bytes], CodedClip]
SENT_FIELDS = (*VECTOR_FIELDS, "noticed", "exhausted")  # what a stream said before it was repaired


class SpliceMode:
    """Recovers clips inside their streams. decode: how repaired streams are read. difference_levels: see Pipeline."""

    def __init__(self, work: PictureWork, decode: Decode, difference_levels: int) -> None:
        self.work, self._decode, self.difference_levels = work, decode, difference_levels

    def decode(self, data: bytes) -> CodedClip:
        """Decode a stream of our own making. Raises SpliceError when nothing can be read any more: some of it is garbage."""
        try:
            return self._decode(data)
        except InputError as error:
            raise SpliceError("with pictures put in, the stream cannot be read any more: it holds garbage") from error

    def recover(
        self, coded: CodedClip, needs_broken: bool = False, repaired_before: CodedClip | None = None
    ) -> RecoveredClip:
        """Recover `coded` inside its stream; `coded.clip` is not changed but for vectors that are read again.

        needs_broken: where no picture is left to replace, refuse. repaired_before: `coded` as it is decoded behind repaired
        pictures, which is what is then repaired. Raises SpliceError where it cannot be done.
        """
        with self.work.timed("parse"):
            whole, rebuilt = rebuild_lost(repaired_before or coded, self.decode)
        require_spliceable(whole)
        if needs_broken and repaired_before is None and not next_broken(whole.clip, set()):
            raise SpliceError("no picture is left to replace: the damage comes from access units that were lost")
        with self.work.timed("parse"):
            restore_vectors(whole, self.decode)
        repaired, filled, judged = self._repair(whole, rebuilt)
        done = sorted(judged)
        # What the repair did not reach predicts from what never arrived.
        left = damaged_slots(repaired.clip)
        judged |= {slot: self.work.look(repaired.clip, slot)[1] for slot in left if slot not in judged}
        number = {
            slot: place for place, slot in enumerate(np.setdiff1d(range(len(whole.clip)), rebuilt.added).tolist())
        }
        frames, second = (
            one.clip.frames[list(number)] if rebuilt.added else one.clip.frames for one in (repaired, filled)
        )
        masks = masks_by_difference(
            coded.clip.frames, (frames, second), {number[slot]: judged[slot] for slot in judged if slot in number},
            [number[slot] for slot in left if slot in number], self.difference_levels,
        )  # fmt: skip
        notes = (*whole.clip.notes, *repair_notes(repaired.clip, rebuilt))
        grown = tuple(level_notes(coded.access_units, repaired.access_units, whole.clip.fps))
        restored = tuple(number[slot] for slot in done if slot in number)
        still = tuple(sorted(number[slot] for slot in left if slot in number))
        return RecoveredClip(
            frames, masks, "splice", repaired.stream(), restored, self.work.seconds, notes, grown, rebuilt.added, still
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
            for slot, (around, damage, restored) in zip(chosen, self.work.restored(clip, chosen), strict=True):
                judged[slot], fills[slot] = damage, _samples(clip, slot, around.fill, damage)
                pictures[slot] = _samples(clip, slot, restored, damage)
                is_filled &= pictures[slot].has_samples_of(fills[slot])
                self.work.progress("recover", len(fills), max(total, len(fills)))
            # With the last of them, the fills' stream too: each decode takes one core.
            streams = [(repaired, pictures), (whole, fills)][: 2 if len(fills) >= total and not is_filled else 1]
            with self.work.timed("splice"):
                repaired, filled = (*side_by_side(self._splice, streams, self.work.device), filled)[:2]
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
        if pictures and not refused and (spliced.clip.status[list(pictures)] == AccessUnitStatus.BROKEN).all():
            refused = list(pictures)  # of some it may be an earlier one that makes them read so, of all it is not
        if refused:
            raise SpliceError(
                f"picture {refused[0]} is not decoded as it was put in: the headers around it are garbage"
            )
        return spliced


def _samples(clip: ParsedClip, slot: int, picture: np.ndarray, damage: PictureDamage) -> Planes:
    """Return the samples of picture `slot`: of `picture`, uint8 [H, W, 3], where it was wrong, else as decoded."""
    decoded = clip.planes[slot]
    if slot in clip.overwritten:
        found = clip.overwritten[slot]
        coded_size = decoded.y.shape[0] // MB_SIZE, decoded.y.shape[1] // MB_SIZE
        decoded = merge_planes(decoded, found.planes, grow_grid(found.macroblocks, coded_size))
    planes = rgb_to_planes(picture, *clip.colour, clip.pixel_format, decoded.interlaced)
    left, _, top, _ = clip.crop
    return merge_planes(decoded, planes, wrong(clip, slot, damage), (top, left))


def _with_vectors(clip: ParsedClip, sent: ParsedClip) -> ParsedClip:
    """`clip` (a decode of the partly repaired stream) with the vectors of `sent`, and where errors were noticed in it."""
    return dataclasses.replace(clip, **{name: getattr(sent, name) for name in SENT_FIELDS})
