"""A recovery of one damaged twin against its truth, in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from b2scvr.engine.protocol import Protocol
from b2scvr.engine.twins import Twin
from b2scvr.metrics.boundary import boundary_f
from b2scvr.metrics.features import FeaturesUnavailableError, VideoFeatures, make_features
from b2scvr.metrics.masks import damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.perceptual import LpipsUnavailableError, lpips, require_lpips
from b2scvr.metrics.psnr import psnr
from b2scvr.metrics.resize import resize_masks, resize_pictures
from b2scvr.metrics.ssim import GAUSSIAN_11, UNIFORM_65, ssim
from b2scvr.metrics.temporal import WarpingError
from b2scvr.types import NOT_WHOLE, AccessUnitStatus

PictureMetric = Callable[[np.ndarray, np.ndarray], np.ndarray]
Score = tuple[str, float | None]
BLIND, TRUE_MASKS, FIRST_MASK = "nothing", "true masks", "first mask"  # what a method is told beside the damaged stream
WINDOWS = {"ssim": GAUSSIAN_11, "ssim65": UNIFORM_65}


SCOPES = ("", "_all", "_broken", "_dependent")  # endings of a score's name: which pictures it is over


@dataclass(frozen=True)
class Result:
    """One method on one damaged twin.

    scores: by metric and ending. No ending: over the pictures that the protocol counts (all damaged ones); `_all`: over all
    pictures; `_broken`: over those that count and lost bits of their own; `_dependent`: over the others that count. None
    where there is no such picture, or, of these two, no bitstream that tells; a metric that was not computed is not there.
    `psnr` in dB; `iou`, `precision` and `recall` of the masks pool the pixels; all others are means over pictures, or over
    pairs of them (`warping_error`).
    """

    clip: str
    seed: int
    branch: str  # the kind of damage
    method: str
    told: str  # what the method was told beside the damaged stream
    pictures: int
    damaged: int  # pictures that count
    broken: int  # of them
    seconds: float
    scores: Mapping[str, float | None]
    notes: tuple[str, ...] = ()
    features: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)  # own, clean [D]

    def __getitem__(self, score: str) -> float | None:
        """Return a score by its name, like "psnr_broken"; None for one that there is not."""
        return self.scores.get(score)


class Judge:
    """Compares recoveries of one twin with its truth, at the size of the protocol."""

    def __init__(self, twin: Twin, protocol: Protocol) -> None:
        self.twin, self.protocol = twin, protocol
        decoded = twin.coded.clip.frames
        differs = damaged_pictures(decoded, twin.clean)
        counted = differs if protocol.counted == "damaged" else np.asarray(twin.masks.any(axis=(1, 2)))
        status = twin.coded.clip.status
        own = counted & np.isin(status, NOT_WHOLE)
        # Without a bitstream nobody knows which pictures lost bits of their own.
        dependent = counted & ~own & (status != AccessUnitStatus.INTACT).any()
        self.scopes = dict(zip(SCOPES, (counted, np.ones_like(counted), own, dependent), strict=True))
        self.clean, self.decoded = self._at_size(twin.clean), self._at_size(decoded)
        self.masks = mask_truth(self.decoded, self.clean) if protocol.counted == "damaged" else self._masks(twin.masks)
        missing = missing_metrics(protocol, (self.clean.shape[1], self.clean.shape[2]))
        self.metrics = [name for name in protocol.metrics if name not in missing]
        self.warping = WarpingError(self.clean)
        # Metrics of the decoded pictures; of the clean ones where they need no other.
        self._known: dict[str, np.ndarray] = {}

    def result(
        self, method: str, frames: np.ndarray, masks: np.ndarray, seconds: float, notes: tuple[str, ...] = (),
        told: str = BLIND,
    ) -> Result:  # fmt: skip
        """Return what is to be said of pictures uint8 [T, H, W, 3] and masks uint8 [T, H, W] of native size."""
        frames, masks = self._at_size(frames), self._masks(masks)
        scores = [*self._pictures(frames), *self._pairs(frames), *self._ratios(masks), *self._outlines(masks)]
        return Result(
            clip=self.twin.name, seed=self.twin.seed, branch=self.protocol.branch, method=method, told=told,
            pictures=len(frames), damaged=int(self.scopes[""].sum()), broken=int(self.scopes["_broken"].sum()),
            seconds=seconds, scores=dict(scores), notes=(*self.twin.notes, *notes), features=self._features(frames),
        )  # fmt: skip

    def _means(self, name: str, values: np.ndarray) -> Iterator[Score]:
        """Yield the mean of `values`, one a picture, over each scope."""
        for ending, chosen in self.scopes.items():
            yield name + ending, _mean(values[chosen])

    def _pictures(self, frames: np.ndarray) -> Iterator[Score]:
        """Yield the metrics of single pictures."""
        yield from self._means("psnr", self._values("psnr", psnr, frames))
        metrics: dict[str, PictureMetric] = {name: partial(ssim, window=window) for name, window in WINDOWS.items()}
        metrics["lpips"] = partial(lpips, device=_torch_device(self.protocol.device))
        for name, metric in metrics.items():
            if name in self.metrics:
                yield from self._means(name, self._values(name, metric, frames))

    def _values(self, name: str, metric: PictureMetric, frames: np.ndarray) -> np.ndarray:
        """Return the metric of each picture; of those that are as decoded it is computed once."""
        if name not in self._known:
            self._known[name] = metric(self.decoded, self.clean)
        values = self._known[name].copy()
        changed = damaged_pictures(frames, self.decoded)
        if changed.any():
            values[changed] = metric(frames[changed], self.clean[changed])
        return values

    def _pairs(self, frames: np.ndarray) -> Iterator[Score]:
        """Yield the warping error: a pair belongs to a scope with either picture, but never to dependents and broken."""
        if "warping" not in self.metrics:
            return
        touched = {ending: chosen[:-1] | chosen[1:] for ending, chosen in self.scopes.items()}
        touched["_dependent"] &= ~touched["_broken"]
        if "warping" not in self._known:
            self._known["warping"] = self.warping.pairs(self.clean)
        for name, errors in (("warping_error", self.warping.pairs(frames)), ("warping_clean", self._known["warping"])):
            for ending, chosen in touched.items():
                yield name + ending, _mean(errors[chosen])

    def _ratios(self, masks: np.ndarray) -> Iterator[Score]:
        """Yield the ratios of the masks' pixels, pooled."""
        for ending, chosen in self.scopes.items():
            found = mask_scores(masks[chosen], self.masks[chosen]) if chosen.any() else None
            for name in ("iou", "precision", "recall"):
                yield name + ending, getattr(found, name, None)

    def _outlines(self, masks: np.ndarray) -> Iterator[Score]:
        if "boundary" in self.metrics:
            values = [boundary_f(mask, truth) for mask, truth in zip(masks, self.masks, strict=True)]
            yield from self._means("boundary_f", np.array(values))

    def _features(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        if "vfid" not in self.metrics:
            return None
        features = video_features(self.protocol.features, self.protocol.i3d, _torch_device(self.protocol.device))
        if "vfid" not in self._known:
            self._known["vfid"] = features(self.clean)
        return features(frames), self._known["vfid"]

    def _at_size(self, pictures: np.ndarray) -> np.ndarray:
        return pictures if self.protocol.size is None else resize_pictures(pictures, self.protocol.size)

    def _masks(self, masks: np.ndarray) -> np.ndarray:
        return masks if self.protocol.size is None else resize_masks(masks, self.protocol.size)


@lru_cache(maxsize=2)
def video_features(name: str, weights: str | None, device: str) -> VideoFeatures:
    """Return what makes the features for VFID, made once a process; see `metrics.features.make_features`."""
    return make_features(name, weights, device)


def missing_metrics(protocol: Protocol, size: tuple[int, int] | None = None) -> dict[str, str]:
    """Return the wanted metrics that cannot be computed here, each with the reason. size: (height, width) of pictures."""
    missing = {}
    if "lpips" in protocol.metrics:
        try:
            require_lpips()
        except LpipsUnavailableError as error:
            missing["lpips"] = str(error)
    if "vfid" in protocol.metrics:
        try:
            video_features(protocol.features, protocol.i3d, _torch_device(protocol.device))
        except FeaturesUnavailableError as error:
            missing["vfid"] = str(error)
    for name, window in WINDOWS.items():
        if size is not None and not window.fits(*size):
            missing[name] = f"pictures of {size[1]}x{size[0]} do not hold its window"
    return missing


def _torch_device(name: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
