"""One damaged picture looked at and restored: what every mode of recovery is made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

import numpy as np
import torch

from b2scvr.dac.tracker import given_damage
from b2scvr.fill import surroundings
from b2scvr.fill.hindsight import hindsight
from b2scvr.fill.interpolated import keep_interpolated
from b2scvr.fill.resize import resize_damage, resize_picture, resize_surroundings
from b2scvr.ops.compute import side_by_side
from b2scvr.ops.masks import at_pixels, within
from b2scvr.types import AccessUnitStatus, ParsedClip, PictureDamage, PictureType, Progress, Surroundings

NEXT_TO_ALL = 0.9  # share of macroblocks
FEW = 2  # pictures
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


class PictureWork:
    """Looks at the damaged pictures of one clip after another, and restores them.

    size: (width, height) at which the restorer works; None is the native one. device: where it works. hindsight: broken
    pictures, once restored, are moved towards what the next right picture says of them (fill.hindsight).
    """

    def __init__(
        self,
        detector: PictureDetector,
        restorer: PictureRestorer,
        size: tuple[int, int] | None,
        device: torch.device,
        hindsight: bool,
    ) -> None:
        self.detector, self.restorer, self.size = detector, restorer, size
        self.device, self.hindsight = device, hindsight
        self.seconds: dict[str, float] = {}  # of each stage, added up where pictures are worked at side by side
        self.progress: Progress = no_progress
        self._one_at_a_time, self._clock = Lock(), Lock()

    def begin(self, progress: Progress) -> None:
        """Begin with another clip: nothing was spent on it so far."""
        self.seconds, self.progress = {}, progress

    def restored(
        self, clip: ParsedClip, slots: Sequence[int]
    ) -> Iterator[tuple[Surroundings, PictureDamage, np.ndarray]]:
        """Yield what surrounds each of the pictures, its damage and itself restored; none of them needs another."""

        def work(slot: int) -> tuple[Surroundings, PictureDamage, np.ndarray]:
            around, damage = self.look(clip, slot)
            restored = self.restore(around, damage)
            mask, after = at_pixels(wrong(clip, slot, damage), *restored.shape[:2]), slot + int(around.distance[-1])
            with self.timed("recover"):
                if clip.picture_type[slot] == PictureType.I:
                    restored = keep_interpolated(around, restored, mask)
                restored = np.where(mask[..., None], restored, around.decoded)
                if self.hindsight and after > slot:
                    restored = hindsight(clip, slot, after, restored, mask, list(around.candidates))
            return around, damage, restored

        return side_by_side(work, slots, self.device)

    def look(self, clip: ParsedClip, slot: int, given: np.ndarray | None = None) -> tuple[Surroundings, PictureDamage]:
        """Return what surrounds a picture and its damage, which the mask `given`, uint8 [H, W], tells if there is one."""
        with self.timed("fill"):
            around = surroundings(clip, slot)
        if given is not None:
            return around, given_damage(given, around.concealed.shape)
        with self._one_at_a_time, self.timed("detect"):  # detectors remember pictures
            damage = self.detector.detect(around)
        if clip.is_cut_off and clip.exhausted[slot] and not _is_garbage(clip, slot, damage):
            damage = within(damage, around.concealed)
        return around, damage

    def restore(self, around: Surroundings, damage: PictureDamage) -> np.ndarray:
        """Return the picture restored, uint8 [H, W, 3], at its own size."""
        with self.timed("recover"):
            if self.size is None:
                return self.restorer.restore(around, damage)
            small = self.restorer.restore(resize_surroundings(around, self.size), resize_damage(damage, self.size))
            height, width = around.decoded.shape[:2]
            return resize_picture(small, (width, height))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what is done meanwhile as of a stage."""
        start = time.perf_counter()
        yield
        with self._clock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def wrong(clip: ParsedClip, slot: int, damage: PictureDamage) -> np.ndarray:
    """Return which macroblocks of picture `slot` are replaced, bool [h, w]."""
    return np.logical_or(damage.macroblocks >= REPLACED, clip.lost[slot])


def _is_garbage(clip: ParsedClip, slot: int, damage: PictureDamage) -> bool:
    """Whether the detector finds next to all of what was read last wrong, as where bits are missing inside the slice.

    Only where few pictures tell how the stream was damaged: bits missing inside seem to be an end that was cut off in every
    third picture or so, not in many at once.
    """
    found, noticed = clip.overwritten.get(slot), clip.noticed.any(axis=(1, 2))
    if found is None or found.proven or noticed.sum() > FEW:
        return False
    return bool((damage.macroblocks[found.macroblocks] >= WRONG).mean() > NEXT_TO_ALL)


def damaged_slots(clip: ParsedClip) -> list[int]:
    """Return the display indices of the damaged pictures, in decoding order."""
    return [int(slot) for slot in np.argsort(clip.decode_index) if clip.status[slot] != AccessUnitStatus.INTACT]
