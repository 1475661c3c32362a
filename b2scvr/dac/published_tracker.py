"""The published detector run on a clip: SAM 2.1's own tracking from a first mask, streamed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from b2scvr.backbones.sam2_video import FrameMemory, forget
from b2scvr.dac.official import PublishedDetector
from b2scvr.dac.prompts import LETTERS
from b2scvr.dac.tracker import VOUCHED_CODECS, nothing_damaged
from b2scvr.dac.vector_picture import vector_picture
from b2scvr.ops.masks import at_pixels
from b2scvr.ops.normalise import IMAGENET, normalise
from b2scvr.ops.scenes import scene_numbers, trusted_macroblocks
from b2scvr.types import MB_SIZE, AccessUnitStatus, InputError, ParsedClip, PictureDamage, SpliceError, Surroundings

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
    their confidence. device, dtype: as of `DamageDetector`. What is held does not grow with the clip.
    """

    needs_clip = True  # pictures can't be judged one by one

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

    def detect(self, surroundings: Surroundings) -> PictureDamage:
        """Raise SpliceError: this detector needs whole clips."""
        raise SpliceError("the published detector tracks through whole clips and can't judge one picture")

    @torch.inference_mode()
    def track(self, clip: ParsedClip, first_mask: tuple[int, np.ndarray] | None = None) -> Iterator[PictureDamage]:
        """Yield the damage of every picture of `clip`, in display order.

        first_mask: (display index, mask uint8 [H, W]) of the first damaged picture. Raises InputError when there is none and
        the decoder concealed nothing in a clip that is damaged.
        """
        if first_mask is None and (clip.status == AccessUnitStatus.INTACT).all():
            for _ in range(len(clip)):
                yield nothing_damaged(clip)
            return
        if first_mask is None and not automatic_starts(clip):
            raise InputError("the published detector needs the mask of the first damaged picture: pass --first-mask")
        yield from _Pass(self, clip, first_mask).run()


def automatic_starts(clip: ParsedClip) -> list[int]:
    """Return the display indices of the broken pictures in which the decoder concealed something."""
    told = (clip.status == AccessUnitStatus.BROKEN) & clip.concealed.any(axis=(1, 2))
    return [int(slot) for slot in np.flatnonzero(told)]


def automatic_mask(clip: ParsedClip, slot: int) -> np.ndarray:
    """Return what the decoder concealed in a picture and what the damage trace marks, bool [H, W]."""
    height, width = clip.frames.shape[1:3]
    return at_pixels(~trusted_macroblocks(clip, slot), height, width)


class _Pass:
    """One clip on its way through the tracker."""

    def __init__(self, tracker: PublishedTracker, clip: ParsedClip, first_mask: tuple[int, np.ndarray] | None) -> None:
        self.network, self.device, self.dtype = tracker.network, tracker.device, tracker.dtype
        self.both = tracker.both_directions
        self.clip, self.first_mask = clip, first_mask
        self.vouched = clip.codec in VOUCHED_CODECS
        if first_mask is not None:
            self.starts, self.scenes = [first_mask[0]], np.zeros(len(clip), np.int32)
        else:
            self.starts = automatic_starts(clip)
            intact = clip.status == AccessUnitStatus.INTACT
            self.scenes = scene_numbers(clip.frames, intact, trusted_macroblocks(clip), clip.is_key)
        self.started: dict[int, FrameMemory] = {}  # of given masks, the latest STARTS
        self.recent: dict[int, FrameMemory] = {}
        self.ahead: dict[int, FrameMemory] = {}  # of the start that the backward direction came from
        self.tokens: dict[int, Tensor] = {}  # of pictures that both directions look at

    def run(self) -> Iterator[PictureDamage]:
        """Stretch by stretch, each up to the next start, where the backward direction comes from."""
        borders = [0, *self.starts, len(self.clip)]
        for begin, end in itertools.pairwise(dict.fromkeys(borders)):
            tail = max(begin, end - REACH) if self.both and end in self.starts else end
            for slot in range(begin, tail):
                yield self._damage(slot, self._forwards(slot))
                self.tokens.pop(slot, None)
            held = {slot: self._forwards(slot) for slot in range(tail, end)}
            backwards = self._backwards(tail + (tail in self.starts), end) if held else {}
            for slot, forward in held.items():
                yield self._damage(slot, _mixed(forward, backwards.get(slot)))
            self.tokens.clear()  # also those of the next start, which is in `ahead`

    def _forwards(self, slot: int) -> _Found | None:
        """Go one picture on; None before the first start."""
        if slot in self.starts:
            self.started[slot] = found = self.ahead.pop(slot, None) or self._start(slot)
            self.started = dict(sorted(self.started.items())[-STARTS:])
            return _Found(found.logits, 1.0)
        if not self.started:
            return None
        if self.scenes[slot] != self.scenes[slot - 1]:
            self.recent.clear()
        own = {start: memory for start, memory in self.started.items() if self.scenes[start] == self.scenes[slot]}
        found = self._track(slot, own or self.started, self.recent, reverse=False)
        return _Found(found.logits, _confidence(found))

    def _backwards(self, begin: int, end: int) -> dict[int, _Found]:
        """Return what the start at `end` says of the pictures of its scene before it, back to `begin`."""
        self.ahead[end] = self._start(end)
        recent: dict[int, FrameMemory] = {}
        out = {}
        for slot in range(end - 1, begin - 1, -1):
            if self.scenes[slot] != self.scenes[end]:
                break
            found = self._track(slot, self.ahead, recent, reverse=True)
            out[slot] = _Found(found.logits, _confidence(found))
        return out

    def _start(self, slot: int) -> FrameMemory:
        side = self.network.sam.image_size
        given = self.first_mask[1] > 0 if self.first_mask is not None else automatic_mask(self.clip, slot)
        mask = torch.from_numpy(np.ascontiguousarray(given)).float()[None, None]
        mask = (F.interpolate(mask, (side, side), mode="bilinear", antialias=True) >= 0.5).float()
        with self._precision():
            features = self.network.sam.encode(self._picture(self.clip.frames[slot]))
            return self.network.sam.start(features, mask.to(self.device), self._tokens(slot))

    def _track(
        self, slot: int, started: Mapping[int, FrameMemory], recent: dict[int, FrameMemory], reverse: bool
    ) -> FrameMemory:
        with self._precision():
            features = self.network.sam.encode(self._picture(self.clip.frames[slot]))
            tokens = self._tokens(slot)
            found = self.network.sam.track(features, tokens, started, recent, slot, len(self.clip), reverse)
        recent[slot] = found
        forget(recent, slot)
        return found

    def _tokens(self, slot: int) -> Tensor:
        """Return the prompt tokens of a picture, made once for both directions."""
        if slot not in self.tokens:
            letter = torch.zeros(1, LETTERS, device=self.device)
            if self.clip.picture_type[slot] < LETTERS:  # an unknown one is no letter at all
                letter[0, self.clip.picture_type[slot]] = 1
            self.tokens[slot] = self.network.tokens(self._picture(vector_picture(self.clip, slot)), letter)
        return self.tokens[slot]

    def _picture(self, picture: np.ndarray) -> Tensor:
        """uint8 [H, W, 3] -> the square that SAM sees, as the published loader makes it (bicubic, whole levels)."""
        side = self.network.sam.image_size
        levels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
        square = F.interpolate(levels, (side, side), mode="bicubic", antialias=True)
        return normalise(square.to(self.device).float() / 255, IMAGENET)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _damage(self, slot: int, found: _Found | None) -> PictureDamage:
        if self.first_mask is None and self.vouched and self.clip.status[slot] == AccessUnitStatus.INTACT:
            return nothing_damaged(self.clip)
        if found is None:
            return nothing_damaged(self.clip, 0.0)
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
