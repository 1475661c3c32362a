"""All pictures of a clip that depend on restored ones, corrected by drift, level by level of their dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from b2scvr.ops.batch import pictures_to_tensor, tensor_to_picture
from b2scvr.ops.drift import NO_CANDIDATE, Prediction, carry, choose_references, choose_weights
from b2scvr.ops.intra_prediction import fit_intra
from b2scvr.ops.motion_compensation import BILINEAR, SIX_TAP, half_samples
from b2scvr.ops.reference_candidates import implicit_weights, reference_candidates, reference_pictures
from b2scvr.types import AccessUnitStatus, ParsedClip

BATCH_PIXELS = 1 << 21  # of the pictures that are corrected together
LUMA = (0.299, 0.587, 0.114)  # of R, G, B (BT.601)
LEVELS = 255.0
_PREDICTED = (AccessUnitStatus.DEPENDENT, AccessUnitStatus.BROKEN)


class DependentCorrector:
    """Corrects the pictures of one clip that depend on restored pictures.

    restored -> what it lacked -> level 1 -> level 2 -> ...    a level: pictures whose references are done; of each
        references chosen where they are unknown -> carry (ops.drift) -> intra blocks from what is around them

    clip: as decoded, with motion vectors; it is not changed. device: where the arithmetic is done.
    """

    def __init__(self, clip: ParsedClip, device: torch.device | str = "cpu") -> None:
        self.clip, self.device = clip, torch.device(device)
        self.is_h264 = clip.codec == "h264"
        self.taps = SIX_TAP if self.is_h264 else BILINEAR
        self.order = [int(slot) for slot in np.argsort(clip.decode_index, kind="stable")]
        self.at_a_time = max(1, BATCH_PIXELS // (clip.frames.shape[1] * clip.frames.shape[2]))
        self.decoded = _with_stand_ins(clip, self.order)
        self.sources = {slot: self._sources(slot) for slot in self.order if clip.status[slot] in _PREDICTED}
        self._settled: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, restored: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return the dependent pictures corrected, display index -> float32 [3, H, W] in [0, 1], on `device`.

        restored: display index -> picture, float32 [3, H, W] in [0, 1]. Broken pictures that are not among them count as
        dependents in what was decoded of them. Differentiable in `restored`.
        """
        lacking = {slot: picture.to(self.device) - self._decoded([slot])[0] for slot, picture in restored.items()}
        corrected = {}
        for level in self._levels(restored):
            for some in _parts(level, self.at_a_time):
                decoded = self._decoded(some)
                pictures = (decoded + self._lack(some, lacking, decoded)).clamp(0, 1)
                for slot, picture, before in zip(some, pictures, decoded, strict=True):
                    corrected[slot], lacking[slot] = picture, picture - before
        return corrected

    @torch.no_grad()
    def frames(self, restored: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return all pictures of the clip, uint8 [T, H, W, 3], with the restored ones and their dependents corrected.

        restored: display index -> uint8 [H, W, 3].
        """
        frames = self.clip.frames.copy()
        for some in _parts(self._apart(restored), self.at_a_time):
            roots = {slot: restored[slot] for group in some for slot in group}
            corrected = self({slot: pictures_to_tensor(picture) for slot, picture in roots.items()})
            for slot, picture in (roots | {slot: tensor_to_picture(own) for slot, own in corrected.items()}).items():
                frames[slot] = picture
        return frames

    def status(self, restored: Iterable[int]) -> np.ndarray:
        """Return the status of each picture once these are restored: dependents of nothing else count as intact."""
        status = self.clip.status.copy()
        status[list(restored)] = AccessUnitStatus.INTACT
        for slot, sources in self.sources.items():
            if status[slot] == AccessUnitStatus.DEPENDENT and (status[sources] == AccessUnitStatus.INTACT).all():
                status[slot] = AccessUnitStatus.INTACT
        return status

    def _sources(self, slot: int) -> list[int]:
        """Display indices of the pictures that `slot` may be predicted from."""
        candidates = np.unique(reference_candidates(self.clip, slot))
        return candidates[candidates >= 0].tolist()

    def _levels(self, restored: Iterable[int]) -> list[list[int]]:
        """Return the dependents: first those all of whose references are restored or intact, and so on."""
        level = dict.fromkeys(restored, 0)
        for slot, sources in self.sources.items():
            known = [level[source] for source in sources if source in level]
            if known and slot not in level:
                level[slot] = 1 + max(known)
        return [[s for s in self.order if level.get(s) == n] for n in range(1, 1 + max(level.values(), default=0))]

    def _apart(self, restored: Iterable[int]) -> list[list[int]]:
        """Return the restored pictures in groups that have no dependent in common."""
        group = {slot: [slot] for slot in restored}
        root = {slot: slot for slot in group}  # of each picture one of the restored ones behind it
        for slot, sources in self.sources.items():
            behind = [root[source] for source in sources if source in root]
            if not behind:
                continue
            if slot not in root:
                root[slot] = behind[0]
            for other in behind:
                if group[other] is not group[root[slot]]:
                    group[root[slot]].extend(group[other])
                    group.update(dict.fromkeys(group[other], group[root[slot]]))
        return sorted({id(own): sorted(own) for own in group.values()}.values())

    def _lack(self, slots: list[int], lacking: Mapping[int, Tensor], decoded: Tensor) -> Tensor:
        """Return what the pictures `slots` lack, [B, 3, H, W]."""
        self._settle([slot for slot in slots if slot not in self._settled])
        reference, weight = (np.stack(part) for part in zip(*(self._settled[slot] for slot in slots), strict=True))
        used = sorted(set(np.unique(reference[weight > 0]).tolist()) & lacking.keys())
        if not used:
            return torch.zeros_like(decoded)
        place = self._places(used)[reference]
        prediction = Prediction(
            self._vectors(slots), self._tensor(np.maximum(place, 0)), self._tensor(np.where(place >= 0, weight, 0))
        )
        carried = carry(torch.stack([lacking[slot] for slot in used]), prediction, self.taps)
        fit = fit_intra(_luma(decoded)[:, 0], self._tensor(self.clip.mode[slots])) if self.is_h264 else None
        return carried if fit is None else fit.spread(carried)

    @torch.no_grad()
    def _settle(self, slots: list[int]) -> None:
        """Find for pictures what each cell was predicted from, display index and weight [2, h, w], and remember it."""
        if not slots:
            return
        candidates = _stack([reference_candidates(self.clip, slot) for slot in slots])
        sources = np.unique(candidates[candidates >= 0]).tolist()
        luma, halves = _luma(self._decoded(slots)), half_samples(_luma(self._decoded(sources)), self.taps)
        named = np.where(candidates >= 0, self._places(sources)[candidates], candidates)
        found = choose_references(luma, halves, self._vectors(slots), self._tensor(named))
        reference = np.array(sources)[found.reference.cpu().numpy()]
        if self.is_h264:
            default = found.weight.cpu().numpy()
            other = [implicit_weights(*known) for known in zip(slots, reference, default, strict=True)]
            found = choose_weights(luma, halves, found, self._tensor(np.stack(other)))
        for slot, own, weight in zip(slots, reference, found.weight.cpu().numpy(), strict=True):
            self._settled[slot] = own, weight

    def _places(self, slots: list[int]) -> np.ndarray:
        """Return the place of every display index among `slots`, -1 where it has none."""
        places = np.full(len(self.clip), -1, np.int64)
        places[slots] = np.arange(len(slots))
        return places

    def _vectors(self, slots: list[int]) -> Tensor:
        """[B, 2 lists, 2 (x, y), h, w]"""
        vectors = np.stack([self.clip.mv_past[slots], self.clip.mv_future[slots]], axis=1)
        return self._tensor(np.moveaxis(vectors, -1, 2))

    def _decoded(self, slots: list[int]) -> Tensor:
        return pictures_to_tensor(self.decoded[slots]).to(self.device)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _with_stand_ins(clip: ParsedClip, order: list[int]) -> np.ndarray:
    """Return the pictures that the decoder predicted from: for a lost one, the reference picture decoded before it."""
    if not clip.lost.any():
        return clip.frames
    frames, references = clip.frames.copy(), reference_pictures(clip)
    arrived = [slot for slot in order if references[slot] and not clip.lost[slot]]
    for slot in np.flatnonzero(clip.lost):
        before = [other for other in arrived if clip.decode_index[other] < clip.decode_index[slot]]
        if before:
            frames[slot] = frames[before[-1]]
    return frames


def _parts(items: list, count: int) -> Iterator[list]:
    """Yield the items, `count` at a time."""
    for start in range(0, len(items), count):
        yield items[start : start + count]


def _luma(pictures: Tensor) -> Tensor:
    """[B, 3, H, W] in [0, 1] -> [B, 1, H, W] in levels."""
    return LEVELS * torch.einsum("c,bchw->bhw", pictures.new_tensor(LUMA), pictures)[:, None]


def _stack(candidates: list[np.ndarray]) -> np.ndarray:
    """Candidates [2, K, h, w] of several pictures, K as it is for each -> [B, 2, K, h, w]."""
    count = max(own.shape[1] for own in candidates)
    pad = [((0, 0), (0, count - own.shape[1]), (0, 0), (0, 0)) for own in candidates]
    return np.stack([np.pad(own, by, constant_values=NO_CANDIDATE) for own, by in zip(candidates, pad, strict=True)])
