"""The published detector run on a clip: SAM 2.1's own tracking from a first mask, streamed."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.backbones.sam2_video import FrameFeatures, FrameMemory, forget
from b2scvr.dac.official import PublishedDetector
from b2scvr.dac.prompts import LETTERS
from b2scvr.dac.tracker import VOUCHED_CODECS, nothing_damaged
from b2scvr.dac.vector_picture import vector_picture
from b2scvr.ops.masks import at_pixels
from b2scvr.ops.normalise import IMAGENET, normalise
from b2scvr.ops.scenes import scene_numbers, trusted_macroblocks
from b2scvr.types import (
    MB_SIZE,
    AccessUnitStatus,
    FirstMask,
    InputError,
    ParsedClip,
    PictureDamage,
    SpliceError,
    Surroundings,
)

STARTS = 3  # given masks that are remembered, the latest ones
REACH = 32  # pictures before a start that are tracked backwards from it


@dataclass
class _Found:
    """What one direction of time says of a picture."""

    logits: Tensor  # [1, 1, 4g, 4g]
    confidence: float


class PublishedTracker:
    """Tracks the damage through a clip with a `PublishedDetector`.

    A first mask from outside is the published protocol: forwards from there, nothing before it. Without one the tracker
    starts by itself, in every broken picture of which the decoder concealed a part, and forgets pictures of other scenes.
    How it started, what damage looks like, outlives IDR periods, and scenes until the next has a start of its own.
    Pictures that the decoder vouches for are then not damaged, whatever the network says.

    both_directions: pictures up to REACH before a start are tracked backwards too; what both directions say is averaged by
    their confidence. device, dtype: as of `DamageDetector`. What is held does not grow with the clip, which may come part by
    part but for `both_directions`.
    """

    def __init__(
        self,
        network: PublishedDetector,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        both_directions: bool = False,
    ) -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.dtype = dtype
        self.both_directions = both_directions

    @property
    def needs_clip(self) -> bool:
        """Whether a clip may not come part by part: backwards, starts of the next part would count."""
        return self.both_directions

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Raise SpliceError: this detector goes from picture to picture."""
        raise SpliceError("the published detector tracks through whole clips and can't judge one picture")

    def begin(self, first_mask: FirstMask | None = None) -> Tracking:
        """Begin with another clip. first_mask: of its first damaged picture; None: the tracker starts by itself."""
        return Tracking(self, first_mask)

    def track(self, clip: ParsedClip, first_mask: FirstMask | None = None) -> Iterator[PictureDamage]:
        """Yield the damage of every picture of `clip`, in display order.

        Raises InputError when there is no first mask and the decoder concealed nothing in a clip that is damaged.
        """
        tracking = self.begin(first_mask)
        yield from tracking.follow(clip, slice(0, len(clip)))
        tracking.finish()


def automatic_starts(clip: ParsedClip) -> list[int]:
    """Return the display indices of the broken pictures in which the decoder concealed something."""
    told = (clip.status == AccessUnitStatus.BROKEN) & clip.concealed.any(axis=(1, 2))
    return [int(slot) for slot in np.flatnonzero(told)]


def automatic_mask(clip: ParsedClip, slot: int) -> np.ndarray:
    """Return what the decoder concealed in a picture and what the damage trace marks, bool [H, W]."""
    height, width = clip.frames.shape[1:3]
    return at_pixels(~trusted_macroblocks(clip, slot), height, width)


class Tracking:
    """One clip on its way through the tracker, whole or part by part. Pictures are counted in display order of the whole."""

    def __init__(self, tracker: PublishedTracker, first_mask: FirstMask | None) -> None:
        self.network, self.device, self.dtype = tracker.network, tracker.device, tracker.dtype
        self.both, self.first_mask = tracker.both_directions, first_mask
        self.started: dict[int, FrameMemory] = {}  # of given masks, the latest STARTS
        self.recent: dict[int, FrameMemory] = {}
        self.ahead: dict[int, FrameMemory] = {}  # of the start that the backward direction came from
        self.tokens: dict[int, Tensor] = {}  # of pictures that both directions look at
        self.scenes: dict[int, int] = {}  # of the pictures at hand, the next one, and those in `started`
        self.missed = False  # there was damage, and nothing to start from

    @torch.inference_mode()
    def follow(self, clip: ParsedClip, own: slice, before: int = 0) -> Iterator[PictureDamage]:
        """Yield the damage of the pictures of `clip` from the first one of `own` on, in display order.

        own: of display indices in `clip`: the pictures that come next. Those behind it are looked at ahead: they come
        again with the next part. before: display index of the clip's first picture in the whole.
        """
        self.clip, self.before = clip, before
        first, behind, end = (before + slot for slot in (own.start, own.stop, len(clip)))
        self._know_scenes(first)
        self.starts = [self.first_mask[0]] if self.first_mask else [before + slot for slot in automatic_starts(clip)]
        is_idle = not self.started and not any(start >= first for start in self.starts)
        self.missed |= is_idle and bool((clip.status[own] != AccessUnitStatus.INTACT).any())
        yield from self._stretches(first, behind)
        yield from self._fork()._stretches(behind, end)
        self.scenes = {n: scene for n, scene in self.scenes.items() if n in self.started or n in (behind - 1, behind)}
        del self.clip  # its pictures may go before the next ones come

    def finish(self) -> None:
        """Raise InputError when there was damage in the whole clip but nothing that the tracker could start from."""
        if self.missed and not self.started:
            raise InputError("the published detector needs the mask of the first damaged picture: pass --first-mask")

    def _know_scenes(self, first: int) -> None:
        """Number the scenes from picture `first` on as those before it were; with a first mask all is one scene."""
        clip, place = self.clip, first - self.before
        if self.first_mask is not None:
            numbers = np.zeros(len(clip), np.int32)
        else:
            intact = clip.status == AccessUnitStatus.INTACT
            numbers = scene_numbers(clip.frames, intact, trusted_macroblocks(clip), clip.is_key)
        known = self.scenes.get(first, 0)
        for slot in range(place, len(clip)):
            self.scenes[self.before + slot] = known + int(numbers[slot] - numbers[place])

    def _fork(self) -> Tracking:
        """Return a copy that can go on without this one."""
        other = copy.copy(self)
        other.started, other.recent, other.ahead, other.tokens = dict(self.started), dict(self.recent), {}, {}
        return other

    def _stretches(self, first: int, last: int) -> Iterator[PictureDamage]:
        """Go from `first` to `last` - 1, each stretch up to the next start, where the backward direction comes from."""
        borders = [first, *(start for start in self.starts if first < start < last), last]
        for begin, end in itertools.pairwise(borders):
            tail = max(begin, end - REACH) if self.both and end in self.starts else end
            for number in range(begin, tail):
                yield self._damage(number, self._forwards(number))
                self.tokens.pop(number, None)
            held = {number: self._forwards(number) for number in range(tail, end)}
            backwards = self._backwards(tail + (tail in self.starts), end) if held else {}
            for number, forward in held.items():
                yield self._damage(number, _mixed(forward, backwards.get(number)))
            self.tokens.clear()  # also those of the next start, which is in `ahead`

    def _forwards(self, number: int) -> _Found | None:
        """Go one picture on; None before the first start."""
        if number in self.starts:
            self.started[number] = found = self.ahead.pop(number, None) or self._start(number)
            self.started = dict(sorted(self.started.items())[-STARTS:])
            return _Found(found.logits, 1.0)
        if not self.started:
            return None
        if self.scenes[number] != self.scenes[number - 1]:
            self.recent.clear()
        own = {start: memory for start, memory in self.started.items() if self.scenes[start] == self.scenes[number]}
        found = self._track(number, own or self.started, self.recent, reverse=False)
        return _Found(found.logits, _confidence(found))

    def _backwards(self, begin: int, end: int) -> dict[int, _Found]:
        """Return what the start at `end` says of the pictures of its scene before it, back to `begin`."""
        self.ahead[end] = self._start(end)
        recent: dict[int, FrameMemory] = {}
        out = {}
        for number in range(end - 1, begin - 1, -1):
            if self.scenes[number] != self.scenes[end]:
                break
            found = self._track(number, self.ahead, recent, reverse=True)
            out[number] = _Found(found.logits, _confidence(found))
        return out

    def _start(self, number: int) -> FrameMemory:
        side = self.network.sam.image_size
        told = self.first_mask
        given = automatic_mask(self.clip, number - self.before) if told is None else told[1] > 0
        mask = torch.from_numpy(np.ascontiguousarray(given)).float()[None, None]
        mask = (F.interpolate(mask, (side, side), mode="bilinear", antialias=True) >= 0.5).float()
        with self._precision():
            features = self._encoded(number)
            return self.network.sam.start(features, mask.to(self.device), self._tokens(number))

    def _track(
        self, number: int, started: Mapping[int, FrameMemory], recent: dict[int, FrameMemory], reverse: bool
    ) -> FrameMemory:
        with self._precision():
            features, tokens, so_far = self._encoded(number), self._tokens(number), self.before + len(self.clip)
            found = self.network.sam.track(features, tokens, started, recent, number, so_far, reverse)
        recent[number] = found
        forget(recent, number)
        return found

    def _encoded(self, number: int) -> FrameFeatures:
        return self.network.sam.encode(self._picture(self.clip.frames[number - self.before]))

    def _tokens(self, number: int) -> Tensor:
        """Return the prompt tokens of a picture, made once for both directions."""
        if number not in self.tokens:
            slot = number - self.before
            letter = torch.zeros(1, LETTERS, device=self.device)
            if self.clip.picture_type[slot] < LETTERS:  # an unknown one is no letter at all
                letter[0, self.clip.picture_type[slot]] = 1
            self.tokens[number] = self.network.tokens(self._picture(vector_picture(self.clip, slot)), letter)
        return self.tokens[number]

    def _picture(self, picture: np.ndarray) -> Tensor:
        """uint8 [H, W, 3] -> the square that SAM sees, as the published loader makes it (bicubic, whole levels)."""
        side = self.network.sam.image_size
        levels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
        square = F.interpolate(levels, (side, side), mode="bicubic", antialias=True)
        return normalise(square.to(self.device).float() / 255, IMAGENET)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _damage(self, number: int, found: _Found | None) -> PictureDamage:
        is_intact = self.first_mask is None and self.clip.status[number - self.before] == AccessUnitStatus.INTACT
        if found is None or (is_intact and self.clip.codec in VOUCHED_CODECS):
            return nothing_damaged(self.clip, float(is_intact))
        height, width = self.clip.frames.shape[1:3]
        logits = F.interpolate(found.logits.float(), (height, width), mode="bilinear", align_corners=False)
        mask = logits.sigmoid()
        missing = (-height % MB_SIZE, -width % MB_SIZE)
        blocks = F.max_pool2d(F.pad(mask, (0, missing[1], 0, missing[0])), MB_SIZE)
        return PictureDamage(blocks[0, 0].cpu().numpy(), mask[0, 0].cpu().numpy(), found.confidence)


def _confidence(found: FrameMemory) -> float:
    """How far the mask is to be trusted: its expected IoU where something is seen, else how sure it is that nothing is."""
    present = float(found.object_score.float().sigmoid()[0, 0])
    return float(found.iou[0]) if present > 0.5 else 1 - present


def _mixed(forward: _Found | None, backward: _Found | None) -> _Found | None:
    """Average of both directions in log odds, by confidence; one alone where the other says nothing."""
    if forward is None or backward is None:
        return forward or backward
    total = forward.confidence + backward.confidence
    share = forward.confidence / total if total else 0.5
    logits = torch.lerp(backward.logits.float(), forward.logits.float(), share)
    return _Found(logits, share * forward.confidence + (1 - share) * backward.confidence)
