"""A recovery of one damaged twin against its truth, in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from b2scvr.engine.protocol import Protocol
from b2scvr.engine.twins import Twin
from b2scvr.metrics.boundary import boundary_f
from b2scvr.metrics.i3d import I3dFeatures, I3dUnavailableError
from b2scvr.metrics.masks import damaged_pictures, mask_scores, mask_truth
from b2scvr.metrics.perceptual import LpipsUnavailableError, lpips, require_lpips
from b2scvr.metrics.psnr import psnr
from b2scvr.metrics.resize import resize_masks, resize_pictures
from b2scvr.metrics.ssim import GAUSSIAN_11, UNIFORM_65, ssim
from b2scvr.metrics.temporal import WarpingError
from b2scvr.types import AccessUnitStatus

PictureMetric = Callable[[np.ndarray, np.ndarray], np.ndarray]
BLIND, TRUE_MASKS, FIRST_MASK = "nothing", "true masks", "first mask"  # what a method is told beside the damaged stream
WINDOWS = {"ssim": GAUSSIAN_11, "ssim65": UNIFORM_65}


@dataclass(frozen=True)
class Result:
    """One method on one damaged twin; None where there is no such picture or the metric was not computed.

    A field without `_all` is over the pictures that the protocol counts (all damaged ones), with it over all pictures.
    """

    clip: str
    seed: int
    method: str
    damaged: int  # pictures that count
    broken: int  # of them
    psnr: float | None  # dB, the mean over pictures
    psnr_broken: float | None
    psnr_dependent: float | None  # counted, but not broken
    iou: float  # pixels of all pictures pooled
    precision: float
    recall: float
    seconds: float
    notes: tuple[str, ...] = ()
    branch: str = ""  # the kind of damage
    told: str = BLIND  # what the method was told
    psnr_all: float | None = None
    ssim: float | None = None  # window 11
    ssim_all: float | None = None
    ssim65: float | None = None
    ssim65_all: float | None = None
    lpips: float | None = None
    lpips_all: float | None = None
    warping_error: float | None = None  # over pairs of pictures, one of which counts
    warping_error_all: float | None = None
    warping_error_clean: float | None = None  # of the clean clip over the same pairs as `warping_error`: the floor
    boundary_f: float | None = None  # of the masks
    boundary_f_all: float | None = None
    features: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)  # own, clean [D]


class Judge:
    """Compares recoveries of one twin with its truth, at the size of the protocol."""

    def __init__(self, twin: Twin, protocol: Protocol) -> None:
        self.twin, self.protocol = twin, protocol
        decoded = twin.coded.clip.frames
        differs = damaged_pictures(decoded, twin.clean)
        self.counted: np.ndarray = differs if protocol.counted == "damaged" else np.asarray(twin.masks.any(axis=(1, 2)))
        self.broken = self.counted & (twin.coded.clip.status == AccessUnitStatus.BROKEN)
        self.clean, self.decoded = self._at_size(twin.clean), self._at_size(decoded)
        self.masks = mask_truth(self.decoded, self.clean) if protocol.counted == "damaged" else self._masks(twin.masks)
        missing = missing_metrics(protocol, (self.clean.shape[1], self.clean.shape[2]))
        self.metrics = [name for name in protocol.metrics if name not in missing]
        self.warping = WarpingError(self.clean)
        self._known: dict[
            str, np.ndarray
        ] = {}  # metrics of the decoded pictures; of the clean ones where they need no other

    def result(
        self, method: str, frames: np.ndarray, masks: np.ndarray, seconds: float, notes: tuple[str, ...] = (),
        told: str = BLIND,
    ) -> Result:  # fmt: skip
        """Return what is to be said of pictures uint8 [T, H, W, 3] and masks uint8 [T, H, W] of native size."""
        frames, masks = self._at_size(frames), self._masks(masks)
        values = self._values("psnr", psnr, frames)
        scores = mask_scores(masks, self.masks)
        return Result(
            clip=self.twin.name, seed=self.twin.seed, branch=self.protocol.branch, method=method, told=told,
            damaged=int(self.counted.sum()), broken=int(self.broken.sum()),
            psnr=_mean(values[self.counted]), psnr_broken=_mean(values[self.broken]),
            psnr_dependent=_mean(values[self.counted & ~self.broken]), psnr_all=_mean(values),
            iou=scores.iou, precision=scores.precision, recall=scores.recall,
            seconds=seconds, notes=(*self.twin.notes, *notes), features=self._features(frames),
            **dict(self._pictures(frames)), **dict(self._pairs(frames)), **dict(self._outlines(masks)),
        )  # fmt: skip

    def _pictures(self, frames: np.ndarray) -> Iterator[tuple[str, float | None]]:
        """Yield the metrics of single pictures, over those that count and over all."""
        metrics: dict[str, PictureMetric] = {name: partial(ssim, window=window) for name, window in WINDOWS.items()}
        metrics["lpips"] = partial(lpips, device=_torch_device(self.protocol.device))
        for name, metric in metrics.items():
            if name in self.metrics:
                values = self._values(name, metric, frames)
                yield name, _mean(values[self.counted])
                yield f"{name}_all", _mean(values)

    def _values(self, name: str, metric: PictureMetric, frames: np.ndarray) -> np.ndarray:
        """Return the metric of each picture; of those that are as decoded it is computed once."""
        if name not in self._known:
            self._known[name] = metric(self.decoded, self.clean)
        values = self._known[name].copy()
        changed = damaged_pictures(frames, self.decoded)
        if changed.any():
            values[changed] = metric(frames[changed], self.clean[changed])
        return values

    def _pairs(self, frames: np.ndarray) -> Iterator[tuple[str, float | None]]:
        if "warping" not in self.metrics:
            return
        touched = self.counted[:-1] | self.counted[1:]
        errors = self.warping.pairs(frames)
        if "warping" not in self._known:
            self._known["warping"] = self.warping.pairs(self.clean)
        yield "warping_error", _mean(errors[touched])
        yield "warping_error_all", _mean(errors)
        yield "warping_error_clean", _mean(self._known["warping"][touched])

    def _outlines(self, masks: np.ndarray) -> Iterator[tuple[str, float | None]]:
        if "boundary" in self.metrics:
            values = np.array([boundary_f(mask, truth) for mask, truth in zip(masks, self.masks, strict=True)])
            yield "boundary_f", _mean(values[self.counted])
            yield "boundary_f_all", _mean(values)

    def _features(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        if "vfid" not in self.metrics:
            return None
        features = i3d_features(self.protocol.i3d, _torch_device(self.protocol.device))
        if "vfid" not in self._known:
            self._known["vfid"] = features(self.clean)
        return features(frames), self._known["vfid"]

    def _at_size(self, pictures: np.ndarray) -> np.ndarray:
        return pictures if self.protocol.size is None else resize_pictures(pictures, self.protocol.size)

    def _masks(self, masks: np.ndarray) -> np.ndarray:
        return masks if self.protocol.size is None else resize_masks(masks, self.protocol.size)


@lru_cache(maxsize=2)
def i3d_features(weights: str | None, device: str) -> I3dFeatures:
    """Return what makes the features for VFID, made once a process. Raises I3dUnavailableError without weights."""
    return I3dFeatures(weights, device)


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
            i3d_features(protocol.i3d, _torch_device(protocol.device))
        except I3dUnavailableError as error:
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
